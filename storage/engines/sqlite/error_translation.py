"""Errors of SQLite as our own: which file, what is wrong, and what to do. Any thread."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from pathlib import Path

from storage.errors import (
    DamagedRow,
    DamagedStore,
    FilesGone,
    StorageError,
    StoreFull,
    StoreReadOnly,
    UnencodableValue,
)
from storage.files.damage import file_identity
from storage.files.error_translation import full_disk, limit_reached

__all__ = ["translate", "translate_engine_error"]

_FILES_AT_ONCE = 4
"""How many files SQLite opens for a database at a time: it, its log, the log's index, and the directory."""
_PARTS = ("", "-wal", "-shm")
"""The suffixes of an open database's files."""
_NO_TEXT = "Could not decode to UTF-8"
_BINDING = re.compile(r"Error binding parameter (?P<which>\S+?):? (?:type '(?P<type>[^']+)'|-)")
_HOW_TO_STORE = (
    "SQLite has int, float, str, bytes and None: store a Decimal or a UUID as str(value), a date or time as "
    "value.isoformat(), an enum as its name"
)


def translate(error: sqlite3.Error, what: str, path: Path | None) -> Exception:
    """Our error for an error of SQLite about files, space or types; any other error is returned unchanged.

    A user's own mistakes and violated constraints stay `sqlite3` errors, which projections may catch.
    """
    text = str(error)
    where = "" if path is None or str(path) in what else f", in {path},"
    binding = _BINDING.search(text)
    if binding is not None:
        kind = f"{binding['type']!r} " if binding["type"] else ""
        return UnencodableValue(
            f"{what} got a value that SQLite can't store, of type {kind}for parameter {binding['which']}; "
            f"{_HOW_TO_STORE}"
        )
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return StoreFull(f"{what}{where} failed: the disk is full; make room ({text})")
    if text.startswith(_NO_TEXT):
        return DamagedRow(
            f"{what}{where} met a text that is not valid UTF-8: its row was damaged, or the model casts "
            f"bytes to TEXT ({text})"
        )
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DamagedStore(f"{what}{where} failed: the file is damaged; it is rebuilt from the log ({text})")
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreReadOnly(f"{what}{where} failed: it cannot be written; check who owns it ({text})")
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR):
        if path is not None and (full := full_disk(path, errno.EIO)) is not None:
            return StoreFull(f"{what}{where} failed: {full}; make room there ({text})")
        if (number := _no_file_can_be_opened()) is not None:
            return limit_reached(number, f"{what}{where} failed ({text})")
        # If the log was removed, a reader creates an empty one, and reads less than it should.
        short = code == sqlite3.SQLITE_IOERR_SHORT_READ
        if path is not None and (short or any(file_identity(f"{path}{part}") is None for part in _PARTS)):
            return FilesGone(
                f"{what}{where} failed: the file, or its log, does not exist any more; a replica whose files "
                "were removed is reset; a store that was moved must be closed, and opened at its new path "
                f"({text})"
            )
        return StorageError(f"{what}{where} failed: {text}; check that the path exists and is readable")
    return error


def translate_engine_error(error: Exception, what: str, path: Path) -> Exception:
    """As `translate`, for statements of the engine itself: these are right, so other errors are damage."""
    if not isinstance(error, sqlite3.Error):
        return DamagedStore(f"{what} failed: the file is damaged; it is rebuilt from the log ({error})")
    explained = translate(error, what, path)
    if explained is not error or isinstance(
        error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.InterfaceError
    ):
        return explained  # the commit violates a constraint of the model, or we made a mistake
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageError(f"{what} failed: another program has the file locked ({error}); end it")
    if code in (sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT):
        return StorageError(f"{what} failed: {error}; try again")
    return DamagedStore(f"{what} failed: the file is damaged; it is rebuilt from the log ({error})")


def _no_file_can_be_opened() -> int | None:
    """The error number if the process cannot open as many files as a database needs, else None."""
    opened: list[int] = []
    try:
        for _ in range(_FILES_AT_ONCE):
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return error.errno
    finally:
        for number in opened:
            os.close(number)
    return None
