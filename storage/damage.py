"""Telling damage of a database from every other failure: by what an error was raised from. Any thread."""

from __future__ import annotations

import lmdb

from storage.errors import DamagedStore

__all__ = ["is_damage"]

_DAMAGED = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.PanicError, lmdb.InvalidError)


def is_damage(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised from, says that a file is not what was written to it.

    A panic counts too: LMDB gives an environment up after it, and a replica is sooner filled anew than mended.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, (DamagedStore, *_DAMAGED)):
            return True
        seen.add(id(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False
