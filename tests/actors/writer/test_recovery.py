"""What becomes of a batch whose commit failed: on a real log, without a thread."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lmdb
import pytest

from actors import CommitUncertain, SystemClosed
from actors.receipt import Receipt
from actors.replication.messages import Committed
from actors.schema.description import Schema
from actors.schema.written_types import WrittenTypes
from actors.writer.aggregate_cache import AggregateCache
from actors.writer.atomic_step import AtomicStep
from actors.writer.overlay import Overlay
from actors.writer.recovery import Recovery
from actors.writer.submission import ReceiptReply, Submission
from actors.writer.submission_factory import SubmissionFactory
from actors.writer.writer_state import WriterState
from storage import CommitFailed, EventLog, StorageError, StoreFull
from tests.bank_domain import Deposit, Open, Opened, bank
from tests.faults import put_fault

Patch = pytest.MonkeyPatch
PLACE = b"pm/place"
FULL = "the disk of {} is full (No space left on device, 1,024 bytes free)"


def failure(number: int | None) -> Callable[[], lmdb.Error]:
    """What LMDB raises where the system gives it this error number."""

    def error() -> lmdb.Error:
        made = lmdb.Error("mdb_txn_commit")
        if number is not None:
            made.code = number
        return made

    return error


class Writer:
    """What a command handler has, without its thread: Ann's account is open, at position 1."""

    def __init__(self, path: Path) -> None:
        self.domain = bank.compile()
        self.log = EventLog.open(path, self.domain.codec)
        self.aggregates = AggregateCache(self.domain, self.log, 100)
        self.state = WriterState(WrittenTypes(Schema("shop"), ()))
        self.make = SubmissionFactory(self.domain)
        self.published: list[tuple[int, int, Any]] = []
        self.recovery = Recovery(self.log, self.state, self.aggregates, self.publish)
        overlay = self.decided([self.command(Open("ann"))])
        self.append(overlay)
        overlay.merge()
        assert len(self.aggregates) == 1

    def publish(self, committed: Committed) -> None:
        self.published.append((committed.first, committed.last, committed.events))

    def command(self, command: Any, command_id: str | None = None) -> Submission:
        """A command on its way, with a caller that waits for it."""
        made = self.make.of_command(command, {} if command_id is None else {"command_id": command_id}, None)
        made.future = ReceiptReply()
        return made

    def decided(self, batch: list[Submission | AtomicStep]) -> Overlay:
        """These decided as one batch."""
        overlay = Overlay(self.domain, self.aggregates, self.log, self.log.encode_event)
        for request in batch:
            if isinstance(request, AtomicStep):
                request.outcome = overlay.step(request, lambda _submission: None)
            else:
                request.outcome = overlay.outcome_of(request)
        return overlay

    def append(self, overlay: Overlay) -> None:
        """Commit what was decided."""
        self.log.append(
            overlay.events,
            overlay.commands,
            overlay.snapshots,
            encoded=overlay.encoded,
            notes=overlay.notes.items(),
        )

    def fails(
        self,
        patch: Patch,
        batch: list[Submission | AtomicStep],
        number: int | None = None,
        *,
        on_disk: bool = False,
    ) -> tuple[CommitFailed, Overlay]:
        """Decide the batch and have its commit fail with this error number, before or after it is on disk."""
        overlay = self.decided(batch)
        with patch.context() as fault:
            put_fault(fault, EventLog, "_commit", failure(number), after=on_disk)
            with pytest.raises(CommitFailed) as caught:
                self.append(overlay)
        return caught.value, overlay

    def recovers(self, patch: Patch, batch: list[Submission | AtomicStep], *given: Any, **named: Any) -> None:
        """The same, and what then follows."""
        error, overlay = self.fails(patch, batch, *given, **named)
        self.recovery.after(error, batch, overlay)


@pytest.fixture
def writer(store_path: Path) -> Iterator[Writer]:
    writer = Writer(store_path)
    yield writer
    writer.log.close()


def error_of(request: Submission | AtomicStep) -> BaseException:
    assert request.future is not None
    assert request.future.done()
    error = request.future.exception(0)
    assert error is not None
    return error


def noting(value: bytes | None = b"1", *commands: Submission) -> AtomicStep:
    """A step that notes where it has come to."""
    return AtomicStep(commands, lambda _outcomes: [(PLACE, value)])


def leave_free(patch: Patch, free: int) -> None:
    patch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_bavail=free // 512, f_frsize=512))


# -- what is on the disk is found out -------------------------------------------------------------
def test_a_batch_that_is_not_on_the_disk_is_uncertain_and_nothing_is_published(
    writer: Writer, monkeypatch: Patch
) -> None:
    batch = [writer.command(Deposit("ann", 5), "mine"), noting()]
    writer.recovers(monkeypatch, batch)
    command, step = map(error_of, batch)
    assert type(command) is type(step) is CommitUncertain
    assert "command 'mine' may or may not be on disk" in str(command)
    assert "mdb_txn_commit" in str(command)
    assert "a step may or may not be on disk" in str(step)
    assert "mdb_txn_commit" in str(step)
    assert writer.published == []
    assert writer.log.command("mine") is None
    assert writer.log.note(PLACE) is None


def test_a_batch_that_is_on_the_disk_is_uncertain_too_and_its_events_are_published(
    writer: Writer, monkeypatch: Patch
) -> None:
    batch = [writer.command(Deposit("ann", 5), "mine"), writer.command(Deposit("ann", 6))]
    writer.recovers(monkeypatch, batch, on_disk=True)
    assert {type(error_of(one)) for one in batch} == {CommitUncertain}
    assert writer.published == [(2, 3, None)]
    assert writer.log.command("mine") is not None


def test_a_batch_without_events_that_is_on_the_disk_publishes_nothing(
    writer: Writer, monkeypatch: Patch
) -> None:
    batch = [writer.command(Deposit("ann", 0), "nothing")]
    writer.recovers(monkeypatch, batch, on_disk=True)
    assert type(error_of(batch[0])) is CommitUncertain
    assert writer.published == []
    assert writer.log.command("nothing") is not None


def test_the_log_takes_the_next_batch_and_states_are_read_again(writer: Writer, monkeypatch: Patch) -> None:
    writer.recovers(monkeypatch, [writer.command(Deposit("ann", 5))], on_disk=True)
    assert len(writer.aggregates) == 0
    assert not writer.state.must_reopen
    writer.append(writer.decided([writer.command(Deposit("ann", 1))]))
    assert writer.log.head == 3
    assert [one.version for one in writer.log.read_stream("account-ann")] == [1, 2, 3]


def test_replies_that_were_held_back_are_given_before_the_log_is_opened_again(
    writer: Writer, monkeypatch: Patch
) -> None:
    held = writer.command(Deposit("ann", 1))
    overlay = writer.decided([held])
    writer.append(overlay)
    overlay.merge()
    writer.state.batch_committed([held])
    assert held.future is not None
    assert not held.future.done()
    reopen, given = writer.log.reopen, []
    monkeypatch.setattr(writer.log, "reopen", lambda: (given.append(held.future.done()), reopen()))
    writer.recovers(monkeypatch, [writer.command(Deposit("ann", 2))])
    assert given == [True]
    assert isinstance(held.future.result(0), Receipt)


def test_what_failed_is_shown_and_logged(
    writer: Writer, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    writer.recovers(monkeypatch, [writer.command(Deposit("ann", 2))])
    assert "mdb_txn_commit" in str(writer.state.trouble)
    [record] = caplog.records
    assert (record.name, record.levelname) == ("onewriter.writer", "ERROR")
    assert record.getMessage() == writer.state.trouble


# -- when the log can't be opened again -----------------------------------------------------------
def test_a_log_that_can_not_be_opened_again_is_left_to_the_next_writer(
    writer: Writer, monkeypatch: Patch
) -> None:
    batch = [writer.command(Deposit("ann", 5)), noting()]
    error, overlay = writer.fails(monkeypatch, batch, on_disk=True)
    reopen = writer.log.reopen
    put_fault(monkeypatch, writer.log, "reopen", lambda: StorageError("the disk is gone"))
    with pytest.raises(StorageError, match="the disk is gone"):
        writer.recovery.after(error, batch, overlay)
    assert {type(error_of(one)) for one in batch} == {CommitUncertain}
    assert writer.state.must_reopen
    assert writer.published == []
    assert len(writer.aggregates) == 0
    reopen()
    assert writer.log.head == 2


# -- a full disk ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(lambda writer: [writer.command(Deposit("ann", 5)), noting()], id="events"),
        pytest.param(lambda writer: [writer.command(Deposit("ann", 0))], id="no events"),
        pytest.param(lambda writer: [noting(), noting(b"2")], id="notes"),
    ],
)
def test_on_a_full_disk_a_batch_that_is_not_there_is_known_not_to_be_written(
    writer: Writer, monkeypatch: Patch, batch: Any
) -> None:
    leave_free(monkeypatch, 1024)
    requests = batch(writer)
    writer.recovers(monkeypatch, requests, errno.ENOSPC)
    for request in requests:
        error = error_of(request)
        assert type(error) is StoreFull
        assert (
            str(error)
            == f"{FULL.format(writer.log.path)}; nothing was written; make room there and try again"
        )
        assert writer.state.trouble == str(error)
    assert writer.published == []
    assert not writer.state.must_reopen


@pytest.mark.parametrize(
    ("batch", "published"),
    [
        pytest.param(lambda writer: [writer.command(Deposit("ann", 5))], [(2, 2, None)], id="events"),
        pytest.param(lambda writer: [writer.command(Deposit("ann", 0)), noting()], [], id="no events"),
        pytest.param(lambda writer: [noting(), noting(b"2")], [], id="notes"),
    ],
)
def test_on_a_full_disk_a_batch_that_is_there_all_the_same_is_uncertain(
    writer: Writer, monkeypatch: Patch, batch: Any, published: Any
) -> None:
    leave_free(monkeypatch, 1024)
    requests = batch(writer)
    writer.recovers(monkeypatch, requests, errno.ENOSPC, on_disk=True)
    assert {type(error_of(one)) for one in requests} == {CommitUncertain}
    assert writer.published == published
    assert writer.state.trouble == FULL.format(writer.log.path)


def test_notes_of_which_one_is_not_as_it_was_to_be_are_not_on_the_disk(
    writer: Writer, monkeypatch: Patch
) -> None:
    writer.append(writer.decided([noting(b"1")]))
    leave_free(monkeypatch, 1024)
    batch = [AtomicStep((), lambda _outcomes: [(PLACE, b"1"), (PLACE + b"/other", b"1")])]
    writer.recovers(monkeypatch, batch, errno.ENOSPC)
    assert type(error_of(batch[0])) is StoreFull


def test_an_error_of_the_disk_with_room_on_it_is_no_full_disk(writer: Writer, monkeypatch: Patch) -> None:
    leave_free(monkeypatch, 1 << 30)
    batch = [writer.command(Deposit("ann", 5))]
    writer.recovers(monkeypatch, batch, errno.EIO)
    assert type(error_of(batch[0])) is CommitUncertain
    assert "is full" not in str(writer.state.trouble)


def test_the_room_is_asked_for_before_the_log_is_opened_again(writer: Writer, monkeypatch: Patch) -> None:
    leave_free(monkeypatch, 1024)
    reopen = writer.log.reopen
    monkeypatch.setattr(writer.log, "reopen", lambda: (leave_free(monkeypatch, 1 << 30), reopen()))
    batch = [writer.command(Deposit("ann", 5))]
    writer.recovers(monkeypatch, batch, errno.EIO)
    assert type(error_of(batch[0])) is StoreFull


# -- a system that was closed meanwhile -----------------------------------------------------------
def test_a_batch_of_a_system_that_was_closed_is_refused_and_the_log_stays_as_it_is(
    writer: Writer, monkeypatch: Patch
) -> None:
    batch = [writer.command(Deposit("ann", 5)), noting()]
    overlay = writer.decided(batch)
    monkeypatch.setattr(writer.log, "reopen", lambda: pytest.fail("the log was opened again"))
    writer.recovery.after(CommitFailed("the system was closed", errno.ECANCELED), batch, overlay)
    for request in batch:
        assert type(error_of(request)) is SystemClosed
        assert str(error_of(request)) == "the system was closed; nothing was written"
    assert writer.state.trouble is None
    assert not writer.state.must_reopen
    assert len(writer.aggregates) == 1
    assert [one.event for one in writer.log.read()] == [Opened("ann")]
