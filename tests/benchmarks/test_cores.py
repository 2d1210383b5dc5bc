"""Keeping the process to one core, and letting it go again."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Set
from pathlib import Path

import pytest

from benchmarks.cores import POSSIBLE, THREADS, on_one_core
from benchmarks.peers.base import CommandPeer
from benchmarks.peers.one_core import OnOneCore
from tests.helpers import in_a_thread

pytestmark = pytest.mark.skipif(not POSSIBLE, reason="threads can't be kept to a core here")


def cores() -> list[Set[int]]:
    """Where each thread of this process may run."""
    return [os.sched_getaffinity(int(thread)) for thread in os.listdir(THREADS)]


@pytest.fixture
def waiting() -> Iterator[threading.Event]:
    """A thread waits for it: one that was there before."""
    event = threading.Event()
    thread = threading.Thread(target=event.wait)
    thread.start()
    yield event
    event.set()
    thread.join()


def test_all_threads_are_on_one_core_inside_and_where_they_were_after_it(waiting: threading.Event) -> None:
    allowed = os.sched_getaffinity(0)
    with on_one_core():
        inside = cores()
        assert len(inside) > 1
        assert all(len(one) == 1 and one <= allowed for one in inside)
        assert in_a_thread(lambda: os.sched_getaffinity(0)) == inside[0]
    assert all(one == allowed for one in cores())


def test_a_peer_works_on_one_core_and_nothing_else_does(tmp_path: Path) -> None:
    seen: dict[str, Set[int]] = {}

    class Peer(CommandPeer):
        promises = "nothing"

        def setup(self, folder: Path) -> None:
            seen["setup"] = os.sched_getaffinity(0)

        def commands(self, shares: object) -> float:
            seen["commands"] = os.sched_getaffinity(0)
            return 1.0

        def settle(self) -> float:
            return 2.0

        def written(self) -> int:
            return 3

        def close(self) -> None:
            seen["close"] = os.sched_getaffinity(0)

    allowed = os.sched_getaffinity(0)
    peer = OnOneCore(Peer)
    peer.setup(tmp_path)
    assert (peer.commands([[]]), peer.settle(), peer.written()) == (1.0, 2.0, 3)
    peer.close()
    assert len(seen["commands"]) == 1
    assert seen["setup"] == seen["close"] == allowed
    assert peer.promises == "nothing; this process on one core"
