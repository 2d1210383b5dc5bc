"""Process managers whose actors die, or whose steps' outcomes stay unknown, at the moments that matter:
nothing is left lying about until something else happens."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lmdb
import pytest

from actors import ConsistencyTimeout, NotStopped, ProcessManagerStopped
from actors.process_managers.manager_actor import ManagerActor
from storage import EventLog
from tests import inside
from tests.faults import put_fault
from tests.helpers import wait_until
from tests.system.jobs import Begin, Undone, Work, World, jobs_of, unmarked
from tests.system.test_process_managers import events_of, opened, works

Patch = pytest.MonkeyPatch


def commit_is_uncertain(monkeypatch: Patch, prefix: bytes) -> Any:
    """The first commit that leaves a note with this prefix reaches the disk, and says that it failed."""

    def leaves_one(log: EventLog, transaction: lmdb.Transaction[bytes]) -> bool:
        with transaction.cursor(log._databases["notes"]) as cursor:
            return cursor.set_range(prefix) and cursor.key().startswith(prefix)

    return put_fault(monkeypatch, EventLog, "_commit", lambda: lmdb.Error("EIO"), after=True, only=leaves_one)


def test_the_effect_of_a_step_whose_commit_was_uncertain_is_delivered(
    store_path: Path, monkeypatch: Patch
) -> None:
    world = World()
    with opened(store_path, jobs_of(world)) as system:
        failed = commit_is_uncertain(monkeypatch, b"outbox/worker/due/")
        system.execute(Begin("a"))
        system.wait_process_managers()
        assert failed() == 1
        assert [(payload, unmarked(key)) for payload, key in world.sent] == [(["a", "first"], "worker:2:e0")]


@pytest.mark.parametrize("method", ["_step_done", "_step_succeeded"])
def test_the_effect_of_a_step_that_the_manager_died_on_is_delivered(
    store_path: Path, monkeypatch: Patch, method: str
) -> None:
    def with_effects(_manager: Any, message: Any) -> bool:
        return bool(getattr(message, "plan", message).effect_count)

    world = World()
    with opened(store_path, jobs_of(world)) as system:
        died = put_fault(monkeypatch, ManagerActor, method, only=with_effects)
        system.execute(Begin("a"))
        system.wait_process_managers()
        assert died() == 1
        assert [(payload, unmarked(key)) for payload, key in world.sent] == [(["a", "first"], "worker:2:e0")]


def test_the_rejection_of_what_an_effect_led_to_is_heard_after_an_uncertain_commit(
    store_path: Path, monkeypatch: Patch
) -> None:
    world = World(send=lambda payload, _key: Work(payload[0], "refused"))
    with opened(store_path, jobs_of(world)) as system:
        failed = commit_is_uncertain(monkeypatch, b"pm/worker/input/")
        system.execute(Begin("a"))
        system.wait_process_managers()
        assert failed() == 1
        assert works(system) == {"a": 1}
        assert events_of(system, Undone) == [Undone("a", "work.refused: no such work")]


@pytest.mark.parametrize("kind", ["key", "handler"])
def test_a_skip_whose_commit_was_uncertain_is_answered(
    store_path: Path, monkeypatch: Patch, kind: str
) -> None:
    world = World(bugs={"key", "handler"})
    with opened(store_path, jobs_of(world)) as system:
        failed = commit_is_uncertain(monkeypatch, b"pm/worker/skipped/")
        system.execute(Begin("a", kind))
        with pytest.raises(ProcessManagerStopped, match="position 1"):
            system.wait_process_managers()
        skipped = (
            system.skip_process_manager("worker", timeout=10)
            if kind == "key"
            else system.skip_instance("worker", "a", timeout=10)
        )
        assert skipped == "worker:1"
        assert failed() == 1


@pytest.mark.parametrize("killed", [False, True])
def test_every_caller_of_a_skip_is_answered(store_path: Path, killed: bool) -> None:
    gate, entered = threading.Event(), threading.Event()

    def hold(_first: int, _last: int) -> None:
        entered.set()
        gate.wait(20)

    with opened(store_path, jobs_of(World(bugs={"key"}))) as system, ThreadPoolExecutor() as pool:
        system.execute(Begin("a", "key"))
        wait_until(lambda: system.process_managers()[0].stopped_at)
        system.on_committed(hold)
        system.submit(Work("x"))
        assert entered.wait(20)
        writes, manager = (
            inside.writer_mailbox(system),
            inside.manager(system, "worker").mailbox,
        )
        calls = [pool.submit(system.skip_process_manager, "worker", "why", 20) for _ in range(2)]
        wait_until(lambda: len(writes) >= 1 and manager.empty())
        if killed:
            assert system.kill("manager-worker")
            assert all(isinstance(call.exception(20), ConsistencyTimeout | NotStopped) for call in calls)
        gate.set()
        if not killed:
            assert [call.result(20) for call in calls] == ["worker:1"] * 2
        wait_until(lambda: inside.notes(system, b"pm/worker/skipped/"))
        wait_until(
            lambda: system.process_managers()[0].lag == 0 and system.process_managers()[0].stopped_at is None
        )
