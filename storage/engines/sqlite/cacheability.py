"""Whether what a query reads of a SQLite database is told by its rows alone; anything else may change without a batch of events.

The result cache keeps what depends on rows, since it is told when those change. The thread that runs the query.
"""

from __future__ import annotations

import functools
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from storage.engines.sqlite.guard import Guard

__all__ = ["ReadGuard", "is_counted_function", "is_counted_table"]

MOST_STATEMENTS = 1_000
"""Texts of statements that one connection knows; it is not used again once it knows so many."""

_DETERMINISTIC = 0x800
"""SQLite's flag of functions that give the same for the same arguments, among those of `PRAGMA function_list`."""

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
"""They have that flag, which holds for one statement: 'now', as text, parameter or in a row, is the time of day."""

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
"""Without that flag, and yet functions of the rows of a table, or of this SQLite."""

_OF_ARGUMENTS = frozenset(["json_each", "json_tree"])
"""Tables that are functions of what they are given."""

_READS = re.compile(
    r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*+(?:SELECT|VALUES|WITH)\b", re.IGNORECASE | re.DOTALL
)


@functools.cache
def _counted_functions() -> frozenset[str]:
    with closing(sqlite3.connect(":memory:")) as db:
        found = db.execute("SELECT name, type, flags FROM pragma_function_list").fetchall()
    # An aggregate or a window function ("w", or "a") is told by the rows that it is over.
    certain = {str(name).lower() for name, kind, flags in found if kind != "s" or flags & _DETERMINISTIC}
    return frozenset((certain | _OF_ROWS) - _CLOCK)


@functools.cache
def _modules() -> frozenset[str]:
    with closing(sqlite3.connect(":memory:")) as db:
        return frozenset(str(name).lower() for (name,) in db.execute("SELECT name FROM pragma_module_list"))


def is_counted_function(name: str) -> bool:
    """Whether a function of SQL gives the same for the same rows and arguments, at any time."""
    return name.lower() in _counted_functions()


def is_counted_table(name: str) -> bool:
    """Whether a table is a model's own, or a function of its arguments; not one that tells of the database or the process."""
    name = name.lower()
    if name in _OF_ARGUMENTS:
        return True
    return not name.startswith(("sqlite_", "pragma_")) and name not in _modules()


class ReadGuard(Guard):
    """The guard of a connection that queries read by, which also knows which of their statements are told by rows alone."""

    __slots__ = ("_known", "_sql", "_uncounted")

    def __init__(self, role: str, model: str, file: Path | None = None) -> None:
        super().__init__(role, model, file)
        self._sql = ""
        self._uncounted = False  # only so that no more is asked about a statement
        # By text, for SQLite keeps what it has compiled, and does not ask again.
        self._known: dict[str, bool] = {}

    def __call__(
        self, action: int, first: str | None, second: str | None, database: str | None, inner: str | None
    ) -> int:
        answer = super().__call__(action, first, second, database, inner)
        if not self.engine and not self._uncounted and self.failure is None:
            try:
                if not self._is_counted(action, first or "", second or "", inner):
                    # At once, for SQLite keeps what it has compiled also where it fails when it is run.
                    self._known[self._sql] = False
                    self._uncounted = True
            except BaseException as error:
                self.failure = error
                return sqlite3.SQLITE_DENY
        return answer

    def _is_counted(self, action: int, first: str, second: str, inner: str | None) -> bool:
        if action == sqlite3.SQLITE_FUNCTION:
            return is_counted_function(second)
        if action != sqlite3.SQLITE_READ or is_counted_table(first):
            return True
        # SQLite itself looks there when it opens a virtual table.
        return first == "sqlite_master" and inner is None and "sqlite_" not in self._sql.lower()

    def begin(self, sql: str) -> None:
        """A statement is to be executed."""
        self._sql = sql
        self._uncounted = False
        self.refusal = ""  # of something that SQLite tried by itself, and passed over

    def counts(self, sql: str) -> bool:
        """Whether what the statement gives that was executed just now is told by rows alone."""
        found = self._known.get(sql)
        if found is None:
            found = not self.full and _READS.match(sql) is not None
            if not self.full:
                self._known[sql] = found
        return found

    @property
    def full(self) -> bool:
        """Whether it knows so many statements that it can't tell any more of others."""
        return len(self._known) >= MOST_STATEMENTS
