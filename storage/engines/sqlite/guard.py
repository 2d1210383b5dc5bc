"""What read models may do with SQLite: an authorizer for each connection, and errors that say what to do.

SQLite asks the authorizer while it compiles a statement, in the thread that runs it; one connection is used by one
thread at a time. What is raised there, Ctrl-C above all, SQLite takes for a refusal: it is noted, and raised once the
statement has failed.
"""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import threading
from functools import partial
from pathlib import Path
from typing import NoReturn

from storage.errors import (
    DamagedRow,
    DamagedStore,
    FilesGone,
    StatementRefused,
    StorageError,
    StoreFull,
    StoreReadOnly,
    UnencodableValue,
)
from storage.files.damage import file_identity
from storage.files.error_translation import full_disk, limit_reached

__all__ = ["CONFIG", "OURS", "Guard", "of_engine", "translate"]

OURS = "onewriter_"
"""How the names of our own tables begin; a read model's may not."""

CONFIG = "_config"
"""How the name of the table ends in which a full-text table of FTS5 keeps its settings."""

_NEVER = (OURS, "sqlite_dbpage")
"""Tables that are the engine's alone: its own, and the pages of the file."""

_OURS = f"tables whose names begin with {OURS}, and the file's pages, are the engine's"
_TRANSACTIONS = "the transaction is ended by the engine, together with the checkpoint"
_TABLES = "the tables of a model are those of its schema=; put the statement there and raise version="
_READS = "queries read only; change data in a projection"
_FILES = "a model has one database, its own"
_SETTINGS = "the engine sets the database up"
_LAST = (
    "it tells of whatever the connection did last, which depends on where batches end and the database was opened, "
    "so a rebuild would have other rows;"
)
_EXTENSIONS = "extensions are not loaded"

_OF_CONNECTION = {
    "changes": f"{_LAST} use the cursor's rowcount",
    "last_insert_rowid": f"{_LAST} end the INSERT with RETURNING rowid, give the key yourself, or use new.rowid in a trigger",
    "total_changes": "it counts since the database was opened, so a rebuild would have other rows; use the cursor's rowcount",
}
"""Functions that tell of the connection, not of rows, and what projections use in their place."""

_DENIED: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_TRANSACTION: ("end or begin a transaction", _TRANSACTIONS),
    sqlite3.SQLITE_SAVEPOINT: ("use savepoints", _TRANSACTIONS),
    sqlite3.SQLITE_ATTACH: ("attach a database", _FILES),
    sqlite3.SQLITE_DETACH: ("detach a database", _FILES),
    sqlite3.SQLITE_ALTER_TABLE: ("alter tables", _TABLES),
    sqlite3.SQLITE_REINDEX: ("reindex", _TABLES),
    sqlite3.SQLITE_ANALYZE: ("analyze", _SETTINGS),
}
_CREATE_OR_DROP = {
    getattr(sqlite3, f"SQLITE_{verb}_{what}")
    for verb in ("CREATE", "DROP")
    for what in ("INDEX", "TABLE", "TEMP_INDEX", "TEMP_TABLE", "TEMP_TRIGGER", "TEMP_VIEW", "TRIGGER", "VIEW")
} | {sqlite3.SQLITE_CREATE_VTABLE, sqlite3.SQLITE_DROP_VTABLE}
_CHANGES = {
    sqlite3.SQLITE_INSERT: "insert into",
    sqlite3.SQLITE_UPDATE: "update",
    sqlite3.SQLITE_DELETE: "delete from",
}
_TELLING = frozenset(
    [
        "collation_list",
        "compile_options",
        "data_version",
        "foreign_key_list",
        "function_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "module_list",
        "pragma_list",
        "table_info",
        "table_list",
        "table_xinfo",
    ]
)
"""PRAGMAs that only tell something, whatever their argument."""
_SETTABLE = frozenset(
    ["encoding", "foreign_keys", "page_count", "page_size", "schema_version", "user_version"]
)
"""PRAGMAs that only tell something when they have no argument. FTS reads some of them."""

_FILES_AT_ONCE = 4
"""How many files SQLite opens for a database at once: it, its write-ahead log, the index of that, the directory."""

_PARTS = ("", "-wal", "-shm")
"""How the files of a database end that is open."""

_NO_TEXT = "Could not decode to UTF-8"
_BINDING = re.compile(r"Error binding parameter (?P<which>\S+?):? (?:type '(?P<type>[^']+)'|-)")
_HOW_TO_STORE = (
    "SQLite has int, float, str, bytes and None: store a Decimal or a UUID as str(value), a date or time as "
    "value.isoformat(), an enum as its name"
)


class Guard:
    """One connection's authorizer. `role` is "schema", "projection" or "query"; `engine` lets our own statements pass.

    `file` is the database, for errors; None for one in memory.
    """

    __slots__ = ("configured", "engine", "failure", "file", "model", "refusal", "role", "shadows")

    def __init__(self, role: str, model: str, file: Path | None = None) -> None:
        self.role = role
        self.model = model
        self.file = file
        self.engine = False
        self.refusal = ""
        self.failure: BaseException | None = None
        """What was raised while SQLite asked."""
        self.shadows: frozenset[str] = frozenset()
        """Tables in which virtual tables keep what they have; those of R*Tree prepare their writes to be read."""
        self.configured = False
        """Whether a projection has changed a setting of a full-text table; SQLite asks for the first time alone."""

    def __call__(
        self, action: int, first: str | None, second: str | None, _database: str | None, _inner: str | None
    ) -> int:
        try:
            if self.engine:
                return sqlite3.SQLITE_OK
            if (found := self._denied(action, first or "", second)) is None:
                return sqlite3.SQLITE_OK
            self._refuse(*found)
        except BaseException as error:
            self.failure = error
        return sqlite3.SQLITE_DENY

    def _refuse(self, what: str, why: str) -> None:
        who = "its schema=" if self.role == "schema" else f"a {self.role}"
        self.refusal = f"read model {self.model!r}: {who} may not {what}: {why}"

    def stand_in(self, db: sqlite3.Connection) -> None:
        """Have functions refused where SQLite does not ask: in a column's DEFAULT. Once the schema is there."""
        for name in _OF_CONNECTION:
            db.create_function(name, 0, partial(self._called, name))

    def _called(self, name: str) -> NoReturn:
        self._refuse(f"call {name}()", _OF_CONNECTION[name])
        raise StatementRefused(self.refusal)

    def _denied(self, action: int, first: str, second: str | None) -> tuple[str, str] | None:
        """What is not allowed, and why; None for what is."""
        if action == sqlite3.SQLITE_READ:
            return (f"read {first}", _OURS) if first.lower().startswith(_NEVER) else None
        if action == sqlite3.SQLITE_FUNCTION:
            if second == "load_extension":
                return "load extensions", _EXTENSIONS
            if self.role == "projection" and second in _OF_CONNECTION:
                return f"call {second}()", _OF_CONNECTION[second]
            return None
        if action == sqlite3.SQLITE_PRAGMA:
            if first.lower() in _TELLING or (second is None and first.lower() in _SETTABLE):
                return None
            return f"use PRAGMA {first}", _SETTINGS
        if (
            first == "sqlite_master"
        ):  # asked when a virtual table is opened; SQLite itself lets nobody write to it
            return None
        if first in self.shadows and action in _CHANGES:
            # A query's connection can't write; in a projection it is the virtual table, or one who knows it well.
            self.configured = self.configured or first.endswith(CONFIG)
            return None
        if self.role == "query" and (action in _CHANGES or action in _CREATE_OR_DROP):
            return (
                f"{_CHANGES[action]} {first}" if action in _CHANGES else "create or drop anything"
            ), _READS
        if first.lower().startswith(_NEVER):
            return f"touch {first}", _OURS
        if self.role == "schema" and action in (sqlite3.SQLITE_ALTER_TABLE, sqlite3.SQLITE_REINDEX):
            return None
        if action in _CREATE_OR_DROP:
            return None if self.role == "schema" else (f"create or drop {first}", _TABLES)
        return _DENIED.get(action)

    def raise_failure(self, error: sqlite3.Error | sqlite3.Warning) -> None:
        """Raise what was raised while SQLite asked, where a statement failed for that: a Ctrl-C, a MemoryError.

        An exception may strike before the first line of the guard, where nothing notes it: then the refusal is
        nobody's. In the main thread that is a signal's, which as a rule is Ctrl-C.
        """
        failure, self.failure = self.failure, None
        if failure is None and not self.refusal and _is_refusal(error):
            main = threading.current_thread() is threading.main_thread()
            failure = KeyboardInterrupt() if main else MemoryError()
        if failure is not None:
            self.refusal = ""
            raise failure from error

    def explain(self, error: sqlite3.Error) -> Exception:
        """The error to raise for one of SQLite's: a refusal's own message, or what `translate` makes of it.

        Raises what `raise_failure` does.
        """
        self.raise_failure(error)
        refusal, self.refusal = self.refusal, ""
        if refusal:
            return StatementRefused(refusal)
        if self.role == "query" and getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY:
            return StatementRefused(f"read model {self.model!r}: a query may not change data: {_READS}")
        return translate(error, f"read model {self.model!r}: a statement of a {self.role}", self.file)


def _is_refusal(error: Exception) -> bool:
    # Of a function, and of what a table-valued PRAGMA reads, it has another code, and only says so.
    code, text = getattr(error, "sqlite_errorcode", None), str(error)
    return (
        code == sqlite3.SQLITE_AUTH
        or text.startswith("not authorized")
        or (text.startswith("access to ") and text.endswith(" is prohibited"))
    )


def translate(error: sqlite3.Error, what: str, path: Path | None) -> Exception:
    """Our error for one of SQLite that is about files, room or types; the error itself for all others.

    A user's own mistakes and broken constraints stay `sqlite3` errors, which projections may catch.
    """
    text = str(error)
    where = "" if path is None or str(path) in what else f", in {path},"
    binding = _BINDING.search(text)
    if binding is not None:
        kind = f"{binding['type']!r} " if binding["type"] else ""
        return UnencodableValue(
            f"{what} got a value that SQLite can't store, of type {kind}for parameter {binding['which']}; {_HOW_TO_STORE}"
        )
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return StoreFull(f"{what}{where} failed: the disk is full; make room ({text})")
    if text.startswith(_NO_TEXT):
        return DamagedRow(
            f"{what}{where} met a text that is none: its row was damaged, or the model casts bytes to TEXT ({text})"
        )
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DamagedStore(
            f"{what}{where} failed: the file is damaged; it is built anew from the log ({text})"
        )
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreReadOnly(f"{what}{where} failed: it cannot be written; check who owns it ({text})")
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR):
        if path is not None and (full := full_disk(path, errno.EIO)) is not None:
            return StoreFull(f"{what}{where} failed: {full}; make room there ({text})")
        if (number := _no_file_can_be_opened()) is not None:
            return limit_reached(number, f"{what}{where} failed ({text})")
        # A reader makes the log anew that was removed, empty, and reads less than it should.
        short = code == sqlite3.SQLITE_IOERR_SHORT_READ
        if path is not None and (short or any(file_identity(f"{path}{part}") is None for part in _PARTS)):
            return FilesGone(
                f"{what}{where} failed: the file, or its log, is not there any more; a replica whose files were removed is begun anew, "
                f"and a store that was moved is to be closed and opened where it is now ({text})"
            )
        return StorageError(f"{what}{where} failed: {text}; check that the place is there and readable")
    return error


def of_engine(error: Exception, what: str, path: Path) -> Exception:
    """As `translate`, for statements of the engine itself: none of them is wrong, so what is left is damage."""
    if not isinstance(error, sqlite3.Error):
        return DamagedStore(f"{what} failed: the file is damaged; it is built anew from the log ({error})")
    explained = translate(error, what, path)
    if explained is not error or isinstance(
        error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.InterfaceError
    ):
        return explained  # a constraint of the model's own that its commit breaks, or a mistake of ours
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageError(f"{what} failed: another program has the file locked ({error}); end it")
    if code in (sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT):
        return StorageError(f"{what} failed: {error}; try again")
    return DamagedStore(f"{what} failed: the file is damaged; it is built anew from the log ({error})")


def _no_file_can_be_opened() -> int | None:
    """Why not as many files as a database needs can be opened, or None."""
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
