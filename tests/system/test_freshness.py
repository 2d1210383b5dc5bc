"""Which replicas answer right after opening, when some have the whole log and others nothing."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from actors import System
from actors.read_replica import ReadReplica
from tests.helpers import PATIENCE, wait_until
from tests.system.checks import check_all
from tests.system.depot import Increment, TotalOf, counters, depot, tally


def test_right_after_opening_no_answer_is_older_than_the_log_was(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with System.open(store_path, depot, replicas=3) as system:
        system.execute_many([Increment("a") for _ in range(5)])
        system.wait_applied()
    for name in ("replica-1", "replica-3"):
        shutil.rmtree(store_path / "replicas" / name)
    release = threading.Event()
    original = ReadReplica.on_start

    def late(self: ReadReplica) -> None:
        assert release.wait(PATIENCE)
        original(self)

    monkeypatch.setattr(ReadReplica, "on_start", late)
    with System.open(store_path, depot, replicas=3) as system:
        try:
            for _ in range(6):
                assert system.query(TotalOf("a")) == 5
                with system.view(tally) as view:
                    assert view.replica == "replica-2"
                    assert view[counters].get("a") == {"name": "a", "total": 5}
            # A newer event that nobody has yet does not make the empty ones as good.
            system.execute(Increment("a"))
            assert [system.query(TotalOf("a")) for _ in range(6)] == [5] * 6
        finally:
            release.set()
        assert system.query(TotalOf("a"), consistency="strong") == 6
        system.wait_applied()
        asked: set[str] = set()

        def all_asked() -> bool:
            with system.view(tally) as view:
                asked.add(view.replica)
            return len(asked) == 3

        wait_until(all_asked)
        check_all(system)
