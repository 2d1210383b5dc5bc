"""Distinguishes damage of a database from other failures; recognises a file that was replaced. Any thread."""

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
    ValueError,  # from msgpack, from text that is not UTF-8, from unpacking the wrong number of items
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    struct.error,
    UnpackException,
)
"""What reading a damaged record may raise, depending on what its bytes look like."""


@contextmanager
def damaged_records(what: str, advice: str) -> Iterator[None]:
    """Turn the errors of reading damaged records into DamagedStore; for blocks that run no user code."""
    try:
        yield
    except DamagedStore:
        raise
    except (*_MISREAD, CodecError) as error:
        raise DamagedStore(
            f"{what} holds a record that is not what was written to it ({type(error).__name__}: {error}); "
            f"{advice}"
        ) from error


class Damageable(Protocol):
    """A replica's files, as its readers and writers see them."""

    reset_on_bad_rows: Callable[[], bool]
    """Whether a row that cannot be decoded counts as damage of the files; called once for each such error."""

    def readable(self) -> bool:
        """Whether its databases can be read."""
        ...


def is_damage(error: BaseException | None, store: Damageable) -> bool:
    """Whether an error, or one of its causes, says that a file does not hold what was written to it.

    A panic counts too: LMDB gives up an environment after it, and filling a replica again is easier than
    repairing it. A transaction that LMDB calls bad may have met a damaged root page, which LMDB does not
    report, or an earlier error that was ignored: then it counts if the store cannot be read. A row that
    cannot be decoded was damaged, or its class has changed. Filling the replica again helps in both cases,
    and the store says whether to try it.
    """
    causes = list(_causes(error))
    if any(
        (isinstance(cause, _DAMAGED) and not isinstance(cause, DamagedRow))
        or _sqlite_code(cause) in (_SQLITE_CORRUPT, _SQLITE_NOTADB)
        for cause in causes
    ):
        return True
    if any(isinstance(cause, DamagedRow) for cause in causes):
        return store.reset_on_bad_rows()
    return any(isinstance(cause, lmdb.BadTxnError) for cause in causes) and not store.readable()


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
    """A file's device and inode, which differ if another file replaces it; None if there is no file."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _sqlite_code(error: BaseException) -> int:
    """The primary result code in an error of SQLite, else 0. Users run SQLite queries themselves."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF if isinstance(code, int) else 0


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
