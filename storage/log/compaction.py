"""Rewriting a closed log, without what it deleted. The caller's thread."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import lmdb

from storage.errors import StoreLocked
from storage.files.erasing import Progress
from storage.files.header import Header
from storage.files.open_store import open_store
from storage.files.rewriting import others_reading, rewrite_environment
from storage.files.store_lock import StoreLock
from storage.log.checksums import opened_record, sealed_record
from storage.log.inline_tables import DATABASES
from storage.log.take_over import take_over

__all__ = ["ChangedNote", "compact_log", "open_for_compaction", "stored_note"]

ChangedNote = Callable[[bytes, Path], bytes | None]
"""Given a note's value and the file that will have it, the value that it is to have; None to leave it."""


def open_for_compaction(
    path: Path, siblings: Collection[str], map_size: int | None = None
) -> tuple[StoreLock, lmdb.Environment]:
    """Lock and open the log of a store that nobody has open.

    Raises StoreLocked if somebody has, to read as well; NotAStore, DamagedStore, StorageError.
    """
    lock, environment, _ = open_store(
        path,
        Header.new("log"),
        take_over=partial(take_over, progress=None),
        map_size=map_size,
        create=False,
        siblings=siblings,
        max_dbs=DATABASES,
    )
    reading = others_reading(environment)
    if reading:
        environment.close()
        lock.release()
        raise StoreLocked(
            f"{path} is open for reading in process {', '.join(map(str, reading))}; close it there: its file "
            "is rewritten, and the old one is overwritten"
        )
    return lock, environment


def stored_note(environment: lmdb.Environment, key: bytes) -> bytes | None:
    """The value of a note of a log that `open_for_compaction` opened, or None. Raises DamagedStore."""
    notes = environment.open_db(b"notes", create=False)
    with environment.begin() as transaction:
        stored = transaction.get(key, db=notes)
        return None if stored is None else opened_record("notes", key, stored)


def compact_log(
    path: Path,
    environment: lmdb.Environment,
    note: bytes,
    changed: ChangedNote,
    progress: Progress = lambda _: None,
) -> tuple[int, int]:
    """Rewrite the log in a locked directory; returns the bytes before and after.

    `changed` gives the value that the note of the key `note` has in the new file, which it may have to name.
    Raises as `rewrite_environment` does, and closes the environment.
    """

    def amend(copy: lmdb.Environment, file: Path) -> None:
        notes = copy.open_db(b"notes", create=False)
        with copy.begin(write=True) as transaction:
            stored = transaction.get(note, db=notes)
            value = None if stored is None else opened_record("notes", note, stored)
            new = None if value is None else changed(value, file)
            if new is not None:
                transaction.put(note, sealed_record("notes", note, new), db=notes)

    return rewrite_environment(path, environment, amend=amend, progress=progress)
