"""`:health` and `:lag` of a system in which something hangs."""

from __future__ import annotations

from pathlib import Path

from actors import System
from tests.helpers import PATIENCE, wait_until
from tests.repl.conftest import Shown
from tests.system.hanging import Come, hall


def test_what_hangs_is_shown_with_what_it_is_at_and_since_when(tmp_path: Path, shown: Shown) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    with System.open(tmp_path / "store", hall, replicas=1, busy_limit=0.6, lag_limit=0.6) as system:
        system.execute(Come("ann", "projection", str(gate)))
        # The models beside it are behind a moment before the projection itself has taken too long.
        wait_until(lambda: any("projection of book" in problem for problem in system.health().problems))
        said, _ = shown(system, ":health\n:lag\n")
        assert "problem: the projection of book on replica-1 has been at event Came at position 1 for" in said
        assert "running: projection book on replica-1 for" in said
        wait_until(lambda: "stalled for" in shown(system, ":lag\n")[0])
        gate.unlink()
        system.wait_applied(timeout=PATIENCE)
        assert "current" in shown(system, ":lag\n")[0]


def test_replicas_in_worker_processes_are_shown_with_their_ids(tmp_path: Path, shown: Shown) -> None:
    with System.open(tmp_path / "store", hall, replicas=2, workers="process") as system:
        pids = [replica.pid for replica in system.health().replicas]
        said, _ = shown(system, ":replicas\n")
        lines = [line.split() for line in said.splitlines() if line.startswith("replica")]
    assert lines[0][:3] == ["replica", "pid", "lag"]
    assert [line[:3] for line in lines[1:]] == [
        ["replica-1", str(pids[0]), "0"],
        ["replica-2", str(pids[1]), "0"],
    ]
