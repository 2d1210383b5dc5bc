"""Histories of many clients, recorded while actors are killed and replicas stand still, keep every
promise.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Literal

import pytest

from actors import System
from tests.consistency.checker import check
from tests.consistency.recorder import LEVELS, Recorder
from tests.consistency.registers import registers

OPERATIONS = int(os.environ.get("ONEWRITER_HISTORY_OPERATIONS", "3000"))
SEED = int(os.environ.get("ONEWRITER_HISTORY_SEED", random.SystemRandom().randrange(1 << 32)))


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_no_promise_is_broken_while_actors_are_killed_and_replicas_stand_still(
    store_path: Path, workers: Literal["thread", "process"]
) -> None:
    # To start a process again takes much longer than a thread.
    operations = OPERATIONS if workers == "thread" else OPERATIONS // 4
    print(f"ONEWRITER_HISTORY_SEED={SEED} ONEWRITER_HISTORY_OPERATIONS={OPERATIONS}")
    with System.open(store_path, registers, replicas=3, workers=workers) as system:
        recorder = Recorder(system, SEED)
        history = recorder.record(operations)
    print(dict(sorted(recorder.met.items())))
    assert check(history) == []
    assert not recorder.met["no answer in good time"]
    # The run was one in which promises could have been broken.
    assert all(recorder.met[level] for level in LEVELS)
    assert recorder.met["stalls"]
    assert recorder.met["killed replica"]
    behind = [read for read in history.reads if read.seen < history.timeline.committed(read.invoked)]
    assert behind, "no answer was ever behind: every level could be had for nothing"
