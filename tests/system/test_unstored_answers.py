"""What was acknowledged, or counted, and could not be stored at once is stored soon, without anything else
going on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import CommitUncertain, StoreFull, System
from actors.process_managers.record_keys import RecordKeys
from actors.subscriptions.coalescing_writer import CoalescingWriter
from actors.subscriptions.group_keys import state_key
from actors.subscriptions.group_state import GroupState
from actors.writer.step_client import StepClient
from storage import EventLog
from tests import inside
from tests.faults import put_fault
from tests.helpers import wait_until
from tests.system.batches import held_batch
from tests.system.depot import Increment, depot
from tests.system.jobs import Begin, World, jobs_of

Patch = pytest.MonkeyPatch


@pytest.fixture
def system(store_path: Path) -> Iterator[System]:
    with System.open(store_path, depot, replicas=1, mailbox_size=1) as opened:
        yield opened


def acknowledged(system: System, name: str = "mailer") -> int:
    """The position that is on disk for a consumer."""
    note = inside.note(system, state_key(name))
    assert note is not None
    return GroupState.decode(name, note).position


def unstored(system: System) -> int:
    return system.consumers()[0].unstored


def test_an_answer_that_finds_the_mailbox_full_is_stored_once_there_is_room(system: System) -> None:
    system.execute(Increment("a"))
    delivery = next(system.consumer("mailer"))
    with held_batch(system, Increment("plug")):
        waiting = system.submit(Increment("b"))
        assert len(inside.writer_mailbox(system)) == 1  # as many as it takes
        assert delivery.ack()
        assert unstored(system) == 1
    waiting.result()
    wait_until(lambda: acknowledged(system) >= 1)
    wait_until(lambda: unstored(system) == 0)


@pytest.mark.parametrize("error", [StoreFull("no room"), CommitUncertain("", "who knows")])
def test_an_answer_whose_write_fails_is_stored_when_it_can_be_and_health_shows_it_until_then(
    system: System, monkeypatch: Patch, error: Exception
) -> None:
    system.execute(Increment("a"))
    consumer = system.consumer("mailer")
    delivery = next(consumer)
    full = True
    put_notes = StepClient.put_notes

    def put(steps: StepClient, notes: object) -> object:
        if not full:
            return put_notes(steps, notes)  # type: ignore[arg-type]
        raise error

    monkeypatch.setattr(StepClient, "put_notes", put)
    monkeypatch.setattr("actors.subscriptions.coalescing_writer.RETRY_LAST", 0.01)
    assert delivery.ack()
    consumer.close()
    [problem] = wait_until(lambda: [one for one in system.health().problems if "answered" in one])
    assert "what consumer 'mailer' answered has not been stored for" in problem
    assert str(error) in problem
    assert acknowledged(system) == 0
    full = False
    wait_until(lambda: unstored(system) == 0)
    assert acknowledged(system) == 1
    assert system.health().problems == ()


def test_health_shows_an_answer_that_the_writer_does_not_come_to(system: System, monkeypatch: Patch) -> None:
    monkeypatch.setattr("actors.subscriptions.consumer_status.UNSTORED", 0.0)
    system.execute(Increment("a"))
    delivery = next(system.consumer("mailer"))
    with held_batch(system, Increment("plug")):
        delivery.ack()
        [problem] = [one for one in system.health().problems if "answered" in one]
        assert "the writer has not come to it" in problem
    wait_until(lambda: system.health().problems == ())


def test_failed_attempts_of_an_effect_that_could_not_be_stored_are_stored_later(
    store_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setattr("actors.process_managers.attempt_counter.STORE_SECONDS", 0.01)
    world = World(send=lambda _payload, _key: 1 / 0)
    keys = RecordKeys("worker")
    with System.open(store_path, jobs_of(world, attempts=3), replicas=1) as system:
        log = inside.log(system)
        tried = keys.attempts

        def notes_attempts(_log: EventLog, *_args: object, **named: object) -> bool:
            return any(key.startswith(tried) for key, _ in named.get("notes", ()))  # type: ignore[attr-defined]

        failed = put_fault(
            monkeypatch, EventLog, "append", lambda: StoreFull("no room"), times=1, only=notes_attempts
        )
        monkeypatch.setattr("actors.process_managers.outbox_actor.RETRY_FIRST", 60.0)
        system.execute(Begin("a"))
        wait_until(failed)
        wait_until(lambda: log.notes(tried))


def test_what_fails_again_is_tried_after_growing_pauses(monkeypatch: Patch) -> None:
    now = [100.0]
    monkeypatch.setattr("actors.subscriptions.coalescing_writer.time.monotonic", lambda: now[0])
    writes = 0

    def write(_notes: object) -> None:
        nonlocal writes
        writes += 1
        raise StoreFull("no room")

    writer = CoalescingWriter(lambda: (1, []), write, lambda _number: None)  # type: ignore[arg-type,return-value]
    assert writer.unstored() is None
    writer.save()
    pauses = []
    for _ in range(9):
        begun = now[0]
        while writes == len(pauses) + 1:
            writer.retry_if_due()
            now[0] += 0.25
        pauses.append(now[0] - begun)
    assert pauses[:3] == [0.5, 0.5, 1.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30.0
    waits = writer.unstored()
    assert waits is not None
    assert waits.seconds == now[0] - 100.0
    assert isinstance(waits.error, StoreFull)
