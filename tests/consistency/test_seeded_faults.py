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
ROUNDS = 5
"""Rounds until the fault has to be found: the scheduler has a say in whether anybody meets it."""


@pytest.mark.parametrize("name", FAULTS)
def test_a_seeded_fault_is_found_and_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install, promises = FAULTS[name]
    missed = set(promises)
    for seed in range(ROUNDS):
        with (
            monkeypatch.context() as broken,
            System.open(tmp_path / str(seed), registers, replicas=3) as system,
        ):
            recorder = Recorder(system, seed, stall_chance=0.5, kill_every=0, query_timeout=2.0)
            install(broken, recorder.pace)
            history = recorder.record(OPERATIONS)
        violations = check(history)
        missed -= {violation.promise for violation in violations}
        if not missed:
            return
    pytest.fail(
        f"in {ROUNDS} rounds of {OPERATIONS} operations nobody found broken: {', '.join(sorted(missed))}"
    )
