"""What an operator is told where a parked effect can't be released at once: in words, with what to do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from actors import ConsistencyTimeout, QueryTimeout, UnknownName
from actors.process_managers.pending_effects import PendingEffect
from actors.testing import TestSystem
from actors.worker_processes.parent.control_client import ControlClient
from actors.worker_processes.parent.remote_store import RemoteStore
from actors.writer.step_client import StepClient
from storage.codec.codec import Codec
from tests.helpers import PATIENCE, wait_until
from tests.system.jobs import Begin, World, jobs_of

Patch = pytest.MonkeyPatch

METHODS = ["retry_effect", "drop_effect"]


def parked(system: TestSystem) -> PendingEffect:
    system.execute(Begin("a"))
    [one] = wait_until(lambda: [one for one in system.effects("worker") if one.parked])
    system.wait_process_managers()
    return one


@pytest.mark.parametrize("timeout", [0.0, 0.05])
@pytest.mark.parametrize("method", METHODS)
def test_an_effect_that_a_busy_writer_does_not_release_in_time_is_told_of_and_released_later(
    store_path: Path, method: str, timeout: float
) -> None:
    world = World(send=lambda _payload, _key: 1 / 0)
    goes_on, entered = threading.Event(), threading.Event()

    def busy(_first: int, _last: int) -> None:
        entered.set()
        assert goes_on.wait(PATIENCE)

    with TestSystem.open(store_path, jobs_of(world, attempts=1), replicas=1) as system:
        one = parked(system)
        system.on_committed(busy)
        system.submit(Begin("b", "idle"))
        assert entered.wait(PATIENCE)
        try:
            with pytest.raises(ConsistencyTimeout, match=r"not (released|dropped) within .* look at effects"):
                getattr(system, method)("worker", one.key, timeout=timeout)
        finally:
            world.send = lambda _payload, _key: None
            goes_on.set()
        wait_until(lambda: system.effects("worker") == [])
        assert len(world.sent) == (2 if method == "retry_effect" else 1)


@pytest.mark.parametrize("other", METHODS)
@pytest.mark.parametrize("method", METHODS)
def test_of_two_operators_who_release_an_effect_the_later_one_hears_that_it_is_not_parked(
    store_path: Path, monkeypatch: Patch, method: str, other: str
) -> None:
    world = World(send=lambda _payload, _key: 1 / 0)
    with TestSystem.open(store_path, jobs_of(world, attempts=1), replicas=1) as system:
        one = parked(system)
        world.send = lambda _payload, _key: None
        step: Callable[..., Future[Any]] = StepClient.submit

        def another_first(steps: StepClient, *arguments: Any) -> Future[Any]:
            monkeypatch.setattr(StepClient, "submit", step)
            getattr(system, other)("worker", one.key)
            return step(steps, *arguments)

        monkeypatch.setattr(StepClient, "submit", another_first)
        with pytest.raises(UnknownName, match="there is no parked effect of process manager 'worker'"):
            getattr(system, method)("worker", one.key)
        assert StepClient.submit is step
        system.wait_process_managers()
        assert system.effects("worker") == []


def test_rows_that_a_worker_process_does_not_give_in_time_are_told_of(
    store_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setattr("actors.worker_processes.parent.remote_store.DUMP_TIMEOUT", 0.0)
    no_worker = ControlClient(lambda: 0)
    store = RemoteStore(f"{store_path}/replicas/replica-1", [], Codec(), 1 << 20, no_worker)
    with pytest.raises(QueryTimeout, match=r"replica-1 did not give the rows of 'stock' within 0 s"):
        store.dump("stock")
