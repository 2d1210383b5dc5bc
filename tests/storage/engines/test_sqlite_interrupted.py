"""An interrupt inside SQLite's authorizer is raised as it is, and leaves the connection usable."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from storage import Codec, ModelSchema
from storage.engines.sqlite.guard import Guard
from storage.engines.sqlite.store import SqliteStore

SCHEMA = ModelSchema("shelf", 1, (), engine="sqlite", script="CREATE TABLE book (name TEXT, lent INT)")
GUARD = {"Guard.__call__", "Guard._denied"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore.open(tmp_path / "shelf@1.1", SCHEMA, Codec())
    yield store
    store.close()


def raised_at(number: int, error: type[BaseException], work: Callable[[], object]) -> bool:
    """Raise `error` at the nth line, or call, of the guard while `work` runs; False if it has fewer lines."""
    left = number

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_qualname not in GUARD or event not in ("call", "line"):
            return trace
        left -= 1
        if left == 0:
            sys.settrace(None)
            raise error("struck")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return left <= 0


def at_every_line(error: type[BaseException], work: Callable[[], object]) -> int:
    """At every line `work` raises `error`; returns the number of lines."""
    for number in range(1, 10_000):
        try:
            if not raised_at(number, error, work):
                return number - 1
        except error:
            continue
        raise AssertionError(f"{error.__name__} at line {number} of the guard did not come out")
    raise AssertionError("it never ended")


class SomeSignal(BaseException):
    """An exception that a program's own signal handler raises."""


def test_in_a_model_s_script(tmp_path: Path) -> None:
    made = 0

    def opened() -> None:
        nonlocal made
        made += 1
        SqliteStore.open(tmp_path / str(made) / "shelf@1.1", SCHEMA, Codec()).close()

    assert at_every_line(KeyboardInterrupt, opened) > 50


@pytest.mark.parametrize("write", ["execute", "executemany"])
def test_in_a_projection_s_statement(store: SqliteStore, write: str) -> None:
    number = 0

    def project() -> None:
        nonlocal number
        number += 1  # another text: the guard is not asked about a statement in the cache
        try:
            db = store.begin()
            statement = f"INSERT INTO book VALUES (?, {number})"
            if write == "execute":
                db.execute(statement, ("dune",))
            else:
                db.executemany(statement, [("dune",), ("emma",)])
            store.commit(number)
        except BaseException:
            store.abort()
            raise

    assert at_every_line(KeyboardInterrupt, project) > 5
    project()
    assert store.dump()["book"]


def test_in_a_query(store: SqliteStore) -> None:
    number = 0

    def ask() -> None:
        nonlocal number
        number += 1
        with store.snapshot() as snapshot:
            snapshot.target.execute(f"SELECT name, {number} FROM book").fetchall()

    assert at_every_line(KeyboardInterrupt, ask) > 5
    ask()


def test_what_a_program_s_own_handler_raises_comes_out_too() -> None:
    class Struck(Guard):
        def _denied(self, *_: object) -> None:
            raise SomeSignal

    guard = Struck("query", "shelf")
    db = sqlite3.connect(":memory:")
    db.set_authorizer(guard)
    with pytest.raises(sqlite3.DatabaseError, match="not authorized") as caught:
        db.execute("SELECT 1")
    with pytest.raises(SomeSignal) as struck:
        guard.explain(caught.value)
    assert struck.value.__cause__ is caught.value
    db.close()
