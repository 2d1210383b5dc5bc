"""Compares two databases of one model, row by row. Any thread.

Nobody has them open, and nothing is written.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

__all__ = ["differing_rows", "read_only_uri"]

_OWN = "onewriter_checkpoint"


def read_only_uri(file: Path) -> str:
    """The URI with which SQLite opens a file, and makes no other file beside it unless there is one."""
    # Without a log beside it the file is complete; SQLite then makes none to read it.
    how = "mode=ro" if file.with_name(f"{file.name}-wal").exists() else "immutable=1"
    return f"{file.absolute().as_uri()}?{how}"


def differing_rows(file: Path, other: Path) -> tuple[int, dict[str, int]] | None:
    """How many rows were compared, and how many differ by table; None if they are at other positions.

    Raises sqlite3.Error.
    """
    with closing(sqlite3.connect(read_only_uri(file), uri=True)) as db:
        db.execute("ATTACH ? AS other", (read_only_uri(other),))
        [(mine,)] = db.execute(f"SELECT position FROM main.{_OWN}")
        [(theirs,)] = db.execute(f"SELECT position FROM other.{_OWN}")
        if mine != theirs:
            return None
        tables = [
            (name, sql)
            for name, sql in db.execute("SELECT name, sql FROM main.sqlite_schema WHERE type = 'table'")
            if name != _OWN and not name.startswith("sqlite_")
        ]
        virtual = [name for name, sql in tables if sql.upper().startswith("CREATE VIRTUAL")]
        rows, found = 0, {}
        for name, _ in tables:
            if any(name.startswith(f"{one}_") for one in virtual):
                continue  # how a full-text index keeps its words depends on when it was merged
            quoted = '"' + name.replace('"', '""') + '"'
            differ = sum(
                db.execute(
                    f"SELECT count(*) FROM (SELECT * FROM {one}.{quoted} EXCEPT SELECT * FROM {two}.{quoted})"
                ).fetchone()[0]
                for one, two in (("main", "other"), ("other", "main"))
            )
            rows += db.execute(f"SELECT count(*) FROM main.{quoted}").fetchone()[0]
            if differ:
                found[name] = differ
        return rows, found
