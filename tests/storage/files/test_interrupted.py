"""An interrupt at any line of opening or closing: nothing stays locked, and everything can be closed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from storage import Codec, EventLog, ModelSchema, ObjectSchema, ReplicaStore, TableSchema
from storage.log.log_follower import LogFollower
from storage.replica.replica_reader import ReplicaReader
from tests.system.interrupting import (
    IGNORED_WARNINGS,
    PLACES,
    Interrupt,
    check_nothing_is_left,
    left_behind,
    places,
)

pytestmark = IGNORED_WARNINGS

CODEC = Codec()
TABLES = ModelSchema("tables", 1, (TableSchema("rows", "key"),))
MODELS = [
    TABLES,
    ModelSchema("sql", 1, (), engine="sqlite", script="CREATE TABLE rows (name TEXT)"),
    ModelSchema("memory", 1, (), engine="memory", objects=(ObjectSchema("kept", list),)),
]
HISTORY = "1" * 32
MAP = 1 << 24


class Closable(Protocol):
    def close(self) -> None: ...


def open_log(folder: Path) -> EventLog:
    return EventLog.open(folder / "log", CODEC, map_size=MAP, inline=[TABLES])


def open_replica(folder: Path) -> ReplicaStore:
    return ReplicaStore.open(folder / "replica", MODELS, CODEC, history_id=HISTORY, log_head=0, map_size=MAP)


def open_follower(folder: Path) -> LogFollower:
    return LogFollower.open(folder / "log", CODEC, map_size=MAP, inline=[TABLES])


def open_reader(folder: Path) -> ReplicaReader:
    return ReplicaReader.open(folder / "replica", CODEC, MODELS, map_size=MAP)


OPENINGS = pytest.mark.parametrize("opening", [open_log, open_replica, open_follower, open_reader])
MOST = 0 if not PLACES else 3 * PLACES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    open_log(tmp_path).close()
    open_replica(tmp_path).close()
    return tmp_path


@OPENINGS
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_opening_keeps_nothing(
    folder: Path, opening: Callable[[Path], Closable], error: type[BaseException]
) -> None:
    made: list[Closable] = []
    before = left_behind(folder)
    for place in places(lambda: made.append(opening(folder)), MOST):
        while made:
            made.pop().close()
        raised = Interrupt(place, error).run(lambda: made.append(opening(folder)))
        if made:
            continue
        # As in a notebook, which keeps the last error and everything that it refers to.
        opening(folder).close()
        del raised
    while made:
        made.pop().close()
    check_nothing_is_left(folder, before)


@OPENINGS
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_closing_can_be_repeated(
    folder: Path, opening: Callable[[Path], Closable], error: type[BaseException]
) -> None:
    before = left_behind(folder)
    for place in places(opening(folder).close, MOST):
        opened = opening(folder)
        raised = Interrupt(place, error).run(opened.close)
        opened.close()
        opening(folder).close()
        del raised
    check_nothing_is_left(folder, before)
