"""Handing steps over: within the mailbox's limit, or past it."""

from __future__ import annotations

from typing import Any

import pytest

from actors import InvalidMessage, Overloaded
from actors.kernel.mailbox import Mailbox
from actors.writer.atomic_step import AtomicStep
from actors.writer.step_client import StepClient
from actors.writer.submission_factory import SubmissionFactory
from tests.bank_domain import Deposit, bank

KEY = b"pm/worker/place"


def client_of(limit: int | None = None) -> tuple[StepClient, Mailbox]:
    mailbox = Mailbox(limit)
    return StepClient(mailbox, SubmissionFactory(bank.compile())), mailbox


def test_a_step_waits_for_room_and_is_refused_where_there_is_none() -> None:
    client, mailbox = client_of(limit=1)
    future = client.submit([], lambda _outcomes: [(KEY, b"1")], (KEY, None))
    step: Any = mailbox.get()
    assert (step.future, step.guard, list(step.notes([]))) == (future, (KEY, None), [(KEY, b"1")])
    client.submit([], lambda _outcomes: [])
    with pytest.raises(Overloaded, match="stayed full"):
        client.submit([], lambda _outcomes: [], timeout=0.0)


def test_notes_and_steps_that_cannot_wait_go_past_the_limit() -> None:
    client, mailbox = client_of(limit=1)
    client.submit([], lambda _outcomes: [])
    notes: dict[bytes, bytes | None] = {KEY: b"1"}
    client.put_notes(notes.items(), (KEY, None))
    client.put(AtomicStep([], lambda _outcomes: []))
    _, step, _ = (mailbox.get() for _ in range(3))
    assert step.submissions == []
    assert step.guard == (KEY, None)
    for _ in range(2):  # A batch may be decided again.
        assert list(step.notes([])) == [(KEY, b"1")]


def test_a_command_of_a_step_is_checked_and_may_have_an_id_of_a_manager() -> None:
    client, _ = client_of()
    submission = client.submission(Deposit("ann", 1), command_id="worker:7:0", causation_id="c")
    assert (submission.command_id, submission.causation_id) == ("worker:7:0", "c")
    with pytest.raises(InvalidMessage):
        client.submission(Deposit("ann", "much"))
