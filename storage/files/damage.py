"""Telling damage of a database from every other failure, and its file from another one. Any thread."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import lmdb
from msgpack.exceptions import UnpackException

from storage.errors import CodecError, DamagedRow, DamagedStore

__all__ = ["Damageable", "damaged_records", "file_identity", "is_damage", "is_readable"]

_DAMAGED = (
    DamagedStore,
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.InvalidError,
)

_SQLITE_CORRUPT, _SQLITE_NOTADB = 11, 26

_MISREAD = (
    LookupError,
    ValueError,  # of msgpack, of texts that are no UTF-8, of unpackings that do not fit
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    struct.error,
    UnpackException,
)
"""What reading a record raises that is not what was written: whatever its bytes happen to be taken for."""


@contextmanager
def damaged_records(what: str, advice: str) -> Iterator[None]:
    """Raise DamagedStore for what reading damaged records raises; for blocks that run no user's code."""
    try:
        yield
    except DamagedStore:
        raise
    except (*_MISREAD, CodecError) as error:
        raise DamagedStore(
            f"{what} holds a record that is not what was written to it ({type(error).__name__}: {error}); {advice}"
        ) from error


class Damageable(Protocol):
    """A replica's files, as whoever reads or changes them sees them."""

    heals_rows: Callable[[], bool]
    """Whether a row that can't be decoded is to be put down to the files: asked once for each such error."""

    def readable(self) -> bool:
        """Whether its databases can be read at all."""
        ...


def is_damage(error: BaseException | None, store: Damageable) -> bool:
    """Whether an error, or one that it was raised from, says that a file is not what was written to it.

    A panic counts too: LMDB gives an environment up after it, and a replica is sooner filled anew than mended.
    A transaction that LMDB calls bad may have met a damaged root page, which it does not report, or an earlier
    error that somebody passed over: then the store is asked whether it can be read. A row that can't be decoded
    may have been damaged, or its class has changed: filling the replica helps against both, and the store says
    whether that is to be tried.
    """
    causes = list(_causes(error))
    if any(
        (isinstance(one, _DAMAGED) and not isinstance(one, DamagedRow))
        or _sqlite_code(one) in (_SQLITE_CORRUPT, _SQLITE_NOTADB)
        for one in causes
    ):
        return True
    if any(isinstance(one, DamagedRow) for one in causes):
        return store.heals_rows()
    return any(isinstance(one, lmdb.BadTxnError) for one in causes) and not store.readable()


def is_readable(environment: lmdb.Environment) -> bool:
    """Whether the first entry of every database in an environment can be read."""
    try:
        with environment.begin() as txn:
            names = [bytes(name) for name in txn.cursor().iternext(keys=True, values=False)]
            for name in names:
                with txn.cursor(environment.open_db(name, txn=txn, create=False)) as cursor:
                    cursor.first()
    except lmdb.Error:
        return False
    return True


def file_identity(file: str | os.PathLike[str]) -> tuple[int, int] | None:
    """What tells a file from one that takes its place; None where there is none."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _sqlite_code(error: BaseException) -> int:
    """The primary result code in an error of SQLite, whose queries users run themselves; else 0."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF if isinstance(code, int) else 0


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
