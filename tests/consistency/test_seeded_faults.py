"""The checker finds each promise broken that is broken on purpose: else its silence would mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors import System
from tests.consistency.checker import check
from tests.consistency.faults import FAULTS
from tests.consistency.recorder import Recorder
from tests.consistency.registers import registers

OPERATIONS = 600
ROUNDS = 10
"""Rounds until the fault has to be found: the scheduler has a say in whether anybody meets it."""

ASKED_BY = {
    "strong": "strong",
    "linearizable": "strong",
    "after": "after",
    "max_lag in positions": "positions",
    "max_lag in seconds": "seconds",
    "read your writes": "session",
    "monotonic reads": "session",
}
"""The level at which a promise is asked for; what holds at every level may be asked for at the weakest."""


@pytest.mark.parametrize("name", FAULTS)
def test_a_seeded_fault_is_found_and_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install, promises = FAULTS[name]
    missed = set(promises)
    levels = tuple(sorted({ASKED_BY.get(promise, "eventual") for promise in promises}))
    for seed in range(ROUNDS):
        with (
            monkeypatch.context() as broken,
            System.open(tmp_path / str(seed), registers, replicas=3) as system,
        ):
            # No session is handed on: its token might tell of what a fault has not put on disk.
            recorder = Recorder(
                system, seed, stall_chance=0.5, kill_every=0, levels=levels, hand_on=0.0, query_timeout=2.0
            )
            install(broken, recorder.pace)
            history = recorder.record(OPERATIONS)
        violations = check(history)
        missed -= {violation.promise for violation in violations}
        if not missed:
            return
    pytest.fail(
        f"in {ROUNDS} rounds of {OPERATIONS} operations nobody found broken: {', '.join(sorted(missed))}"
    )
