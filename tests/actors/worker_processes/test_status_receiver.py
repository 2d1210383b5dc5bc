"""What a worker reports is what the parent shows and tells."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from actors.kernel.running_calls import CallSlot
from actors.replication.rebuild_lock import RebuildQueue
from actors.worker_processes.parent.control_client import ControlClient
from actors.worker_processes.parent.remote_progress import RemoteProgress
from actors.worker_processes.parent.remote_replica import RemoteReplicaSlot
from actors.worker_processes.parent.remote_store import RemoteStore
from actors.worker_processes.parent.status_receiver import StatusReceiver
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.error_codec import pack_error
from storage.codec.codec import Codec
from tests.system.yard import counts

NAME = "replica-1"
STATE: dict[str, Any] = {
    "runs": [("counts", 1, "counts@1.1", 3, None, False, (None, None))],
    "building": [],
    "frozen": [],
    "applied_events": 3,
    "reset_reason": None,
    "cache": None,
}


class Parent:
    """A receiver with all that it tells, of a log that ends at 9."""

    def __init__(self) -> None:
        self.codec = Codec()
        self.control = ControlClient(lambda: 9)
        self.store = RemoteStore(f"store/replicas/{NAME}", [counts], self.codec, 1 << 20, self.control)
        self.slot = RemoteReplicaSlot(NAME, self.store, [counts], self.control, lambda: False)
        self.progress = RemoteProgress(9, ["counts"], [NAME, "replica-2"])
        self.rebuild_lock = RebuildQueue()
        self.restarts: list[tuple[str, str]] = []
        self.applied: list[tuple[str, int, float]] = []
        self.pongs: list[int] = []
        self.receiver = StatusReceiver(
            self.slot,
            self.control,
            self.progress,
            self.rebuild_lock,
            self.codec,
            restarted=lambda name, why: self.restarts.append((name, why)),
            listeners=[lambda *one: self.applied.append(one)],
            call_slot=CallSlot("listener"),
        )
        self.receiver.on_hello(STATE, [("counts", 3, 2, "counts@1.1", True)])

    def receive(self, *messages: tuple[Any, ...]) -> None:
        self.receiver.receive([protocol.pack(*one) for one in messages], self.pongs.append)


@pytest.fixture
def parent() -> Parent:
    return Parent()


def at(position: int) -> tuple[Any, ...]:
    """The worker has applied that."""
    return protocol.APPLIED, position, position, [("counts", position, position, "counts@1.1", True)]


def test_a_worker_says_first_what_it_has(parent: Parent) -> None:
    assert parent.receiver.positions == [("counts", 3)]
    assert parent.slot.projector.serving("counts") == (1, 3, None)
    assert (parent.store.state.changed("counts"), parent.store.state.version("counts")) == (2, 1)


def test_of_several_positions_in_a_row_the_last_is_taken_over(parent: Parent) -> None:
    parent.receive(at(5), at(7))
    assert parent.progress.replicas[NAME]["counts"].applied == 7
    assert parent.slot.projector.serving("counts") == (1, 7, None)
    assert [one[:2] for one in parent.applied] == [(NAME, 7)]


def test_what_comes_between_two_positions_finds_the_first(parent: Parent) -> None:
    found: list[int] = []
    parent.progress.recheck = lambda _model: found.append(  # type: ignore[method-assign]
        parent.progress.replicas[NAME]["counts"].applied
    )
    parent.receive(at(5), (protocol.SWITCHED, "counts"), at(7))
    assert found == [5]


def test_failures_stop_the_model_and_are_shown(parent: Parent) -> None:
    failure = (6, "Counted", False, "ValueError: no", "Traceback")
    run = ("counts", 1, "counts@1.1", 5, failure, False, (None, None))
    parent.receive(
        (protocol.STATE, {**STATE, "runs": [run]}), (protocol.STOPPED, "counts", 5, "ValueError: no", False)
    )
    assert parent.progress.replicas[NAME]["counts"].stopped == "ValueError: no"
    assert parent.slot.projector.serving("counts")[2] == failure


def test_a_replica_is_not_asked_from_its_damage_until_it_was_reset(parent: Parent) -> None:
    parent.receive(at(9), (protocol.EXCLUDED,))
    assert parent.progress.fresh(["counts"], 0) == ["replica-2"]
    parent.receive((protocol.WAS_RESET,), at(9))
    assert parent.progress.fresh(["counts"], 0) == [NAME, "replica-2"]


def test_requests_end_with_what_the_worker_says(parent: Parent) -> None:
    done, failed = parent.control.request(protocol.RESUME, None), parent.control.request(protocol.BUILD, "x")
    error = pack_error(LookupError("no x"), parent.codec)
    parent.receive((protocol.DONE, 1, None, None), (protocol.DONE, 2, error, None))
    assert done.result(0) is None
    with pytest.raises(LookupError, match="no x"):
        failed.result(0)


def test_the_rebuild_lock_is_held_for_the_worker(parent: Parent) -> None:
    parent.receive((protocol.ACQUIRE_REBUILD_LOCK, 7))
    assert parent.rebuild_lock.holder == NAME
    parent.receive((protocol.RELEASE_REBUILD_LOCK,))
    assert parent.rebuild_lock.holder is None


def test_the_answer_to_a_ping_says_what_the_projections_are_at(parent: Parent) -> None:
    parent.receive((protocol.PONG, 4, ("counts", 1, False, "Counted", 8, 2.5)))
    work = parent.receiver.current_event
    assert work is not None
    assert work[:5] == ("counts", 1, False, "Counted", 8)
    parent.receive((protocol.PONG, 5, None))
    assert parent.receiver.current_event is None
    assert parent.pongs == [4, 5]


def test_restarts_are_counted_and_records_are_logged(
    parent: Parent, caplog: pytest.LogCaptureFixture
) -> None:
    parent.receive(
        (protocol.EXITED, "replica-1.query-1", "ValueError: no"),
        (protocol.LOGGED, "shop", logging.WARNING, "low stock", "", 12.5, "replica-1"),
    )
    assert parent.restarts == [("replica-1.query-1", "ValueError: no")]
    [record] = caplog.records
    assert (record.name, record.getMessage(), record.created, record.threadName) == (
        "shop",
        "low stock",
        12.5,
        "replica-1",
    )
