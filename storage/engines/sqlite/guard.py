"""What read models may do with SQLite: an authorizer for each connection, and errors that say what to do.

SQLite calls the authorizer while it compiles a statement, in the thread that runs it; one thread at a time
uses a connection. SQLite treats any exception raised there, above all Ctrl-C, as a refusal. So the exception
is stored, and raised once the statement has failed.
"""

from __future__ import annotations

import sqlite3
import threading
from functools import partial
from pathlib import Path
from typing import NoReturn

from storage.engines.sqlite.error_translation import translate
from storage.errors import (
    StatementRefused,
)

__all__ = ["CONFIG", "OURS", "Guard"]

OURS = "onewriter_"
"""The prefix of our own tables' names; a read model's may not have it."""

CONFIG = "_config"
"""The suffix of the table in which a full-text table of FTS5 stores its settings."""

_NEVER = (OURS, "sqlite_dbpage")
"""Tables that only the engine may use: its own, and the pages of the file."""

_OURS = f"tables whose names begin with {OURS}, and the file's pages, belong to the engine"
_TRANSACTIONS = "the engine ends the transaction, together with the checkpoint"
_TABLES = "the tables of a model are those of its schema=; put the statement there and raise version="
_READS = "queries read only; change data in a projection"
_FILES = "a model has one database, its own"
_SETTINGS = "the engine sets the database up"
_LAST = (
    "it reports what the connection did last, which depends on where batches end and when the database was "
    "opened, so a rebuild could give other rows;"
)
_EXTENSIONS = "extensions are not loaded"

_OF_CONNECTION = {
    "changes": f"{_LAST} use the cursor's rowcount",
    "last_insert_rowid": f"{_LAST} end the INSERT with RETURNING rowid, set the key yourself, or use "
    "new.rowid in a trigger",
    "total_changes": "it counts since the database was opened, so a rebuild could give other rows; use the "
    "cursor's rowcount",
}
"""Functions that report on the connection, not on rows, and what projections should use instead."""

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
_READ_PRAGMAS = frozenset(
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
"""PRAGMAs that only report something, with any argument."""
_READ_PRAGMAS_IF_BARE = frozenset(
    ["encoding", "foreign_keys", "page_count", "page_size", "schema_version", "user_version"]
)
"""PRAGMAs that only report something if they have no argument. FTS reads some of them."""


class Guard:
    """One connection's authorizer. `role` is "schema", "projection" or "query".

    `engine` lets our own statements pass. `file` is the database, for errors; None for one in memory.
    """

    __slots__ = ("configured", "engine", "failure", "file", "model", "refusal", "role", "shadows")

    def __init__(self, role: str, model: str, file: Path | None = None) -> None:
        self.role = role
        self.model = model
        self.file = file
        self.engine = False
        self.refusal = ""
        self.failure: BaseException | None = None
        """An exception that was raised in a call of the authorizer."""
        self.shadows: frozenset[str] = frozenset()
        """Tables in which virtual tables store their data.

        Those of an R*Tree prepare its writes when it is read.
        """
        self.configured = False
        """Whether a projection has changed a setting of a full-text table; SQLite asks only once."""

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

    def refuse_functions(self, db: sqlite3.Connection) -> None:
        """Refuse functions where SQLite does not ask: in a column's DEFAULT.

        Call it once the schema exists.
        """
        for name in _OF_CONNECTION:
            db.create_function(name, 0, partial(self._called, name))

    def _called(self, name: str) -> NoReturn:
        self._refuse(f"call {name}()", _OF_CONNECTION[name])
        raise StatementRefused(self.refusal)

    def _denied(self, action: int, first: str, second: str | None) -> tuple[str, str] | None:
        """What is refused, and why; None if it is allowed."""
        if action == sqlite3.SQLITE_READ:
            return (f"read {first}", _OURS) if first.lower().startswith(_NEVER) else None
        if action == sqlite3.SQLITE_FUNCTION:
            if second == "load_extension":
                return "load extensions", _EXTENSIONS
            if self.role == "projection" and second in _OF_CONNECTION:
                return f"call {second}()", _OF_CONNECTION[second]
            return None
        if action == sqlite3.SQLITE_PRAGMA:
            if first.lower() in _READ_PRAGMAS or (second is None and first.lower() in _READ_PRAGMAS_IF_BARE):
                return None
            return f"use PRAGMA {first}", _SETTINGS
        if first == "sqlite_master":
            # SQLite asks for this when it opens a virtual table; it lets nobody write to it.
            return None
        if first in self.shadows and action in _CHANGES:
            # A query's connection cannot write. In a projection this is the virtual table, or an author who
            # knows it well.
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
        """Raise the exception of the authorizer that made a statement fail: a Ctrl-C, a MemoryError.

        An exception may come before the first line of the guard, where nothing can store it: then there is a
        refusal without a reason. In the main thread a signal raised it, which is usually Ctrl-C.
        """
        failure, self.failure = self.failure, None
        if failure is None and not self.refusal and _is_refusal(error):
            main = threading.current_thread() is threading.main_thread()
            failure = KeyboardInterrupt() if main else MemoryError()
        if failure is not None:
            self.refusal = ""
            raise failure from error

    def explain(self, error: sqlite3.Error) -> Exception:
        """The error to raise for an error of SQLite: the refusal's own message, or the result of `translate`.

        Raises what `raise_failure` raises.
        """
        self.raise_failure(error)
        refusal, self.refusal = self.refusal, ""
        if refusal:
            return StatementRefused(refusal)
        if self.role == "query" and getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY:
            return StatementRefused(f"read model {self.model!r}: a query may not change data: {_READS}")
        return translate(error, f"read model {self.model!r}: a statement of a {self.role}", self.file)


def _is_refusal(error: Exception) -> bool:
    # For a function, and for what a table-valued PRAGMA reads, it has another code, and only its text says
    # so.
    code, text = getattr(error, "sqlite_errorcode", None), str(error)
    return (
        code == sqlite3.SQLITE_AUTH
        or text.startswith("not authorized")
        or (text.startswith("access to ") and text.endswith(" is prohibited"))
    )
