"""Queries and their cached twins against a fold over the log, at the position that each answer names.

Four engines say the same of a handful of entries, while clients ask in every way, writers write, actors and
worker processes are killed, replicas removed, models rebuilt, and one model can't be read for a while. A seed
has the clients do the same again, though not at the same moments: ONEWRITER_ORACLE_SEED=... and
ONEWRITER_ORACLE_SECONDS=... of each round.
"""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from actors import System
from tests.oracle.query_clients import coroutines, reader, troublemaker, watcher, writer
from tests.oracle.query_domain import FILES_CHECKED, SICK_FILE, entries, sicken
from tests.oracle.query_load import Load, end_watches, wrong_answers

# An actor that is killed leaves what it has just opened to the collector.
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()


SOAK = os.environ.get("ONEWRITER_HYPOTHESIS_PROFILE") == "soak"
SEED = int(os.environ.get("ONEWRITER_ORACLE_SEED", random.SystemRandom().randrange(1 << 32)))
SECONDS = float(os.environ.get("ONEWRITER_ORACLE_SECONDS", 20.0 if SOAK else 6.0))
ROUNDS = int(os.environ.get("ONEWRITER_ORACLE_ROUNDS", 100 if SOAK else 2))


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("workers", ["thread", "process"])
def test_queries_and_their_cached_twins_answer_as_a_fold_over_the_log_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: Literal["thread", "process"], number: int
) -> None:
    seed = SEED + number
    again = f"ONEWRITER_ORACLE_SEED={seed} ONEWRITER_ORACLE_ROUNDS=1 ONEWRITER_ORACLE_SECONDS={SECONDS:g}"
    print(again, workers)
    # That files are gone is found by queries, each of which opens the database; or at once, while others are
    # under way.
    at_once = number % 2
    every = 0.0 if at_once else 1.0
    monkeypatch.setattr("actors.queries.local_replica.FILES_CHECK_EVERY", every)
    monkeypatch.setenv(FILES_CHECKED, str(every))
    if not at_once:
        monkeypatch.setattr("storage.engines.sqlite.pool.MAX_IDLE", 0)
    sick = tmp_path / "sick"
    monkeypatch.setenv(SICK_FILE, str(sick))
    heal = sicken(str(sick))
    try:
        with System.open(
            tmp_path / "entries",
            entries,
            replicas=2,
            query_actors=1 + at_once,
            workers=workers,
            result_cache=1 << 18,
        ) as system:
            load = Load(system, seed, SECONDS, sick)
            for one in range(4):
                load.start(reader, one)
            load.start(coroutines)
            load.start(writer, 0)
            load.start(writer, 1)
            load.start(troublemaker)
            for one, kind in enumerate(["every", "held", "total", "lines"]):
                load.start(watcher, one, kind)
            load.join(reader, coroutines, writer, troublemaker)
            end_watches(load)
            load.join(watcher)
            cache = system.health().cache
            wrong = load.wrong or wrong_answers(load)
    finally:
        heal()
    done = f"{len(load.answers)} answers, {load.failed_sick} refused, {cache.hits} hits, {load.troubles}"
    print(done)
    assert not wrong, "\n".join([again, done, *wrong])
    assert len(load.answers) > 100
    # Of a worker process that was killed the hits are not told.
    assert workers == "process" or cache.hits > 10
