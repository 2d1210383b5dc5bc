"""The schema= of a SQLite model: run statement by statement, and checked in a temporary database in memory.

Pure except for that database; any thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from storage.engines.sqlite.guard import Guard
from storage.errors import InvalidSchema, StatementRefused
from storage.files.opening_resources import OpeningResources
from storage.value_text import short_repr

__all__ = ["check_script", "run_script"]


def check_script(model: str, script: str) -> None:
    """Find the mistakes in a model's schema= before any file is created.

    Raises InvalidSchema with SQLite's text.
    """
    if not isinstance(script, str):
        raise InvalidSchema(f"read model {model!r}: schema= takes SQL as a str, not {short_repr(script)}")
    resources = OpeningResources()
    try:
        opened = resources.slot(sqlite3.Connection.close)
        opened.resource = db = sqlite3.connect(":memory:", isolation_level=None)
        db.execute("PRAGMA foreign_keys = ON")
        guard = Guard("schema", model)
        db.set_authorizer(guard)
        run_script(db, guard, script)
        guard.engine = True
        try:
            made = db.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table'").fetchone()
        except sqlite3.Error as error:
            guard.raise_failure(error)
            raise
        if not made:
            raise InvalidSchema(
                f"read model {model!r}: its schema= creates no table; write CREATE TABLE statements into it"
            )
    finally:
        resources.release()


def run_script(db: sqlite3.Connection, guard: Guard, script: str) -> None:
    """Run each statement in the open transaction. Raises InvalidSchema, which names the statement."""
    for statement in statements(script):
        try:
            db.execute(statement)
        except (sqlite3.Error, sqlite3.Warning) as error:
            guard.raise_failure(error)
            raise _mistake(guard, statement, error) from error


def statements(script: str) -> Iterator[str]:
    """The statements of a script. A semicolon in a text, a comment or a trigger does not end one."""
    statement = ""
    for part in script.split(";"):
        statement += part
        if sqlite3.complete_statement(statement + ";"):
            if statement.strip():
                yield statement + ";"
            statement = ""
        else:
            statement += ";"
    if statement.strip("; \t\r\n"):
        yield statement


def _mistake(guard: Guard, statement: str, error: Exception) -> InvalidSchema:
    where = f"read model {guard.model!r}: in its schema=, {' '.join(statement.split())[:120]!r}"
    if isinstance(error, sqlite3.Error):
        refused = guard.explain(error)
        if isinstance(refused, StatementRefused):
            return InvalidSchema(str(refused))
    if "no such module" in str(error):
        return InvalidSchema(
            f"{where}: {error}; the SQLite {sqlite3.sqlite_version} that this Python uses was built without "
            "it, run a Python whose sqlite3 has it"
        )
    return InvalidSchema(f"{where}: {error}")
