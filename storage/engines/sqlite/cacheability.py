"""Whether the result of a query on a SQLite database depends on rows alone. The thread that runs the query.

The result cache stores only such results, because it is notified when rows change. Anything else may change
without a batch of events.
"""

from __future__ import annotations

import functools
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from storage.engines.sqlite.guard import Guard

__all__ = ["ReadGuard", "is_cacheable_function", "is_cacheable_table"]

MAX_STATEMENTS = 1_000
"""How many statements' texts a connection remembers; a connection with so many is not used again."""

_DETERMINISTIC = 0x800
"""SQLite's flag for functions that give the same result for the same arguments, in `PRAGMA function_list`."""

_CLOCK = frozenset(
    [
        "current_date",
        "current_time",
        "current_timestamp",
        "date",
        "datetime",
        "julianday",
        "strftime",
        "time",
        "timediff",
        "unixepoch",
    ]
)
"""They have the flag, but only for one statement: 'now', as text, parameter or in a row, means the clock."""

_OF_ROWS = frozenset(
    [
        "bm25",
        "highlight",
        "match",
        "matchinfo",
        "offsets",
        "rtreedepth",
        "rtreenode",
        "snippet",
        "sqlite_compileoption_get",
        "sqlite_compileoption_used",
        "sqlite_source_id",
        "sqlite_version",
    ]
)
"""Functions without that flag that depend only on the rows of a table, or on this version of SQLite."""

_OF_ARGUMENTS = frozenset(["json_each", "json_tree"])
"""Table-valued functions that depend only on their arguments."""

_READS = re.compile(
    r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*+(?:SELECT|VALUES|WITH)\b", re.IGNORECASE | re.DOTALL
)


@functools.cache
def _cacheable_functions() -> frozenset[str]:
    with closing(sqlite3.connect(":memory:")) as db:
        found = db.execute("SELECT name, type, flags FROM pragma_function_list").fetchall()
    # An aggregate or a window function ("w", or "a") depends on the rows that it is over.
    certain = {str(name).lower() for name, kind, flags in found if kind != "s" or flags & _DETERMINISTIC}
    return frozenset((certain | _OF_ROWS) - _CLOCK)


@functools.cache
def _modules() -> frozenset[str]:
    with closing(sqlite3.connect(":memory:")) as db:
        return frozenset(str(name).lower() for (name,) in db.execute("SELECT name FROM pragma_module_list"))


def is_cacheable_function(name: str) -> bool:
    """Whether an SQL function always gives the same result for the same rows and arguments."""
    return name.lower() in _cacheable_functions()


def is_cacheable_table(name: str) -> bool:
    """Whether a table is a model's own, or a function of its arguments.

    Other tables report on the database or the process.
    """
    name = name.lower()
    if name in _OF_ARGUMENTS:
        return True
    return not name.startswith(("sqlite_", "pragma_")) and name not in _modules()


class ReadGuard(Guard):
    """The guard of a read connection, which also knows which statements depend on rows alone."""

    __slots__ = ("_known", "_sql", "_uncacheable")

    def __init__(self, role: str, model: str, file: Path | None = None) -> None:
        super().__init__(role, model, file)
        self._sql = ""
        self._uncacheable = False  # once it is true, no more is asked about the statement
        # By text, because SQLite keeps what it has compiled, and does not ask again.
        self._known: dict[str, bool] = {}

    def __call__(
        self, action: int, first: str | None, second: str | None, database: str | None, inner: str | None
    ) -> int:
        answer = super().__call__(action, first, second, database, inner)
        if not self.engine and not self._uncacheable and self.failure is None:
            try:
                if not self._is_cacheable(action, first or "", second or "", inner):
                    # Immediately, because SQLite keeps what it has compiled even if running it fails.
                    self._known[self._sql] = False
                    self._uncacheable = True
            except BaseException as error:
                self.failure = error
                return sqlite3.SQLITE_DENY
        return answer

    def _is_cacheable(self, action: int, first: str, second: str, inner: str | None) -> bool:
        if action == sqlite3.SQLITE_FUNCTION:
            return is_cacheable_function(second)
        if action != sqlite3.SQLITE_READ or is_cacheable_table(first):
            return True
        # SQLite itself reads it when it opens a virtual table.
        return first == "sqlite_master" and inner is None and "sqlite_" not in self._sql.lower()

    def begin(self, sql: str) -> None:
        """Note that a statement is about to be executed."""
        self._sql = sql
        self._uncacheable = False
        self.refusal = ""  # of something that SQLite tried by itself, and then ignored

    def is_cacheable(self, sql: str) -> bool:
        """Whether the result of the statement that was just executed depends on rows alone."""
        found = self._known.get(sql)
        if found is None:
            found = not self.full and _READS.match(sql) is not None
            if not self.full:
                self._known[sql] = found
        return found

    @property
    def full(self) -> bool:
        """Whether it knows so many statements that it can learn no more."""
        return len(self._known) >= MAX_STATEMENTS
