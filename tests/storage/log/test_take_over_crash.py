"""Kills a process with SIGKILL at random moments while it takes over a log of the format before.

`ONEWRITER_CRASH_ROUNDS` sets the number of rounds (4), `ONEWRITER_CRASH_SEED` the seed, which is printed.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from storage.files.header import FORMAT_VERSION
from storage.log.event_log import EventLog
from storage.log.take_over import COPY_FILE
from storage.log.verification import verify_store
from tests.forked import Forked
from tests.storage.log.older_format import make_older
from tests.storage.log.test_unindexed_tail import CODEC, command, event, fill

pytestmark = pytest.mark.kill

ROUNDS = int(os.environ.get("ONEWRITER_CRASH_ROUNDS", "4"))
SEED = int(os.environ.get("ONEWRITER_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
EVENTS = 12_000


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("take-over")
    with EventLog.open(directory / "new", CODEC, durable=False) as log:
        for first in range(1, EVENTS, 1000):
            positions = range(first, first + 1000)
            log.append([event(position) for position in positions], [command(one) for one in positions])
    make_older(directory / "new", directory / "older")
    return directory / "older"


def opening(store: Path) -> Forked:
    process = Forked("tests.storage.log.older_format", str(store))
    assert process.stdout.readline() == "opening\n"
    return process


def test_a_crash_while_a_log_is_taken_over_leaves_it_as_it_was_or_done(older: Path, tmp_path: Path) -> None:
    print(f"ONEWRITER_CRASH_SEED={SEED}")
    chosen = random.Random(SEED)
    expected = verify_store(older)
    assert (expected.sound, expected.events, expected.format) == (True, EVENTS, 2)
    whole = Path(shutil.copytree(older, tmp_path / "whole"))
    with opening(whole) as process:
        began = time.monotonic()
        assert process.stdout.readline() == "opened\n"
        took = time.monotonic() - began
    chain = verify_store(whole).chain
    left: Counter[str] = Counter()
    for number in range(ROUNDS):
        store = Path(shutil.copytree(older, tmp_path / str(number)))
        with opening(store) as process:
            try:
                process.wait(chosen.uniform(0, took))
            except subprocess.TimeoutExpired:
                process.kill()
        found = verify_store(store)
        assert (found.sound, found.events) == (True, EVENTS)
        left["as it was" if found.format == 2 else "done"] += 1
        left["with half a copy"] += (store / COPY_FILE).exists()
        with EventLog.open(store, CODEC) as log:
            assert log.chain_head() == (EVENTS, chain)
            fill(log, EVENTS + 1, EVENTS + 3)
            assert log.verify().findings == []
        assert not (store / COPY_FILE).exists()
        assert verify_store(store).format == FORMAT_VERSION
        shutil.rmtree(store)
    print(dict(left))
