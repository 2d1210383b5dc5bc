"""Steps through a running system: what they write, what guards them, and that each is done once whatever
fails.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from actors import (
    CommandIdReused,
    CommitUncertain,
    DeciderFailed,
    Domain,
    Receipt,
    Rejected,
    StorageError,
    System,
    SystemClosed,
    UnknownMessage,
)
from actors.writer.atomic_step import Outcomes, StepSuperseded
from actors.writer.command_handler import CommandHandler
from storage import EventLog, InvalidKey, KeyTooLong
from tests import inside
from tests.faults import put_fault
from tests.helpers import PATIENCE
from tests.system.batches import held_batch

Patch = pytest.MonkeyPatch
PLACE = b"pm/mail"

post = Domain("post")


@post.state(stream="box-{name}")
class Box:
    name: str
    letters: int


@post.event(Box, tags="from-{sender}")
class Dropped:
    name: str
    sender: str


@post.command(Box)
class Drop:
    name: str
    sender: str = "ann"


@post.command(Box)
class Burn:
    name: str


@post.decide
def drop(box: Box | None, command: Drop):
    if box is not None and box.letters == 3:
        raise Rejected("the box is full", code="box.full")
    yield Dropped(command.name, command.sender)


@post.decide
def burn(box: Box | None, command: Burn):
    raise OSError("no matches")


@post.evolve
def dropped(box: Box | None, event: Dropped) -> Box:
    return Box(event.name, 1 if box is None else box.letters + 1)


@pytest.fixture
def system(store_path: Path) -> Iterator[System]:
    with System.open(store_path, post, replicas=1) as opened:
        yield opened


def step(
    system: System,
    *commands: Any,
    notes: Any = (),
    guard: Any = None,
    ids: Callable[[int], str] | None = None,
) -> Any:
    """Hand over a step; `notes` is what it notes, or a function of the outcomes."""
    steps = inside.command_client(system).steps
    made = [
        steps.submission(command, **({} if ids is None else {"command_id": ids(number)}))
        for number, command in enumerate(commands)
    ]
    return steps.submit(made, notes if callable(notes) else lambda _outcomes: notes, guard)


def note(system: System, key: bytes = PLACE) -> bytes | None:
    return inside.note(system, key)


def letters(system: System, name: str = "a") -> int:
    return len(system.stream(f"box-{name}"))


# -- what a step writes ---------------------------------------------------------------------
def test_a_step_writes_its_commands_events_and_its_notes(system: System) -> None:
    def notes(outcomes: Outcomes) -> Any:
        [first, second] = outcomes
        assert isinstance(first, Receipt)
        assert isinstance(second, Receipt)
        return [(PLACE, f"{first.version} {second.last}".encode())]

    first, second = step(system, Drop("a"), Drop("b"), notes=notes).result(PATIENCE)
    assert (first.versions, second.versions) == ({"box-a": 1}, {"box-b": 1})
    assert [one.command_id for one in system.stream("box-a")] == [first.command_id]
    assert note(system) == b"1 2"


def test_a_refused_or_failing_command_is_told_to_the_notes_and_the_others_are_done(system: System) -> None:
    names = []

    def notes(outcomes: Outcomes) -> Any:
        names.extend(type(one).__name__ for one in outcomes)
        return [(PLACE, b"1")]

    outcomes = step(
        system,
        Drop("a"),
        Burn("a"),
        Drop("b", "x" * 400),
        *[Drop("a")] * 3,
        notes=notes,
    ).result(PATIENCE)
    assert names == ["Receipt", "DeciderFailed", "KeyTooLong", "Receipt", "Receipt", "Rejected"]
    assert outcomes[-1].code == "box.full"
    assert (letters(system), letters(system, "b"), note(system)) == (3, 0, b"1")
    step(system, Drop("b")).result(PATIENCE)
    assert letters(system, "b") == 1


def test_a_step_of_notes_alone_is_on_disk(store_path: Path, monkeypatch: Patch) -> None:
    with System.open(store_path, post, replicas=1) as system:
        assert step(system, notes=[(PLACE, b"1"), (b"sub/gone", b"")]).result(PATIENCE) == []
        step(system, notes=[(b"sub/gone", None)]).result(PATIENCE)
        assert system.position == 0
    with System.open(store_path, post, replicas=1) as system:
        assert (note(system), note(system, b"sub/gone")) == (b"1", None)


def test_the_same_command_id_in_a_later_step_gives_the_first_receipt(system: System) -> None:
    [first] = step(system, Drop("a"), ids="d-{}".format, notes=[(PLACE, b"1")]).result(PATIENCE)
    [again, reused] = step(
        system, Drop("a"), Drop("b"), ids=lambda _number: "d-0", notes=[(PLACE, b"2")]
    ).result(PATIENCE)
    assert (again, note(system), letters(system)) == (first, b"2", 1)
    assert type(reused) is CommandIdReused


def test_the_commands_of_steps_are_counted(system: System) -> None:
    step(system, Drop("a"), Burn("a"), Drop("a")).result(PATIENCE)
    step(system, notes=[(PLACE, b"1")]).result(PATIENCE)
    desk = inside.writer_state(system)
    assert (desk.commands, desk.refused) == (3, 1)


def test_a_command_that_is_none_is_refused_where_it_is_made(system: System) -> None:
    with pytest.raises(UnknownMessage):
        inside.submission(system, "drop")


# -- guards ---------------------------------------------------------------------------------
def test_a_step_whose_guard_has_changed_does_nothing(system: System) -> None:
    step(system, notes=[(PLACE, b"1")], guard=(PLACE, None)).result(PATIENCE)
    with pytest.raises(StepSuperseded) as caught:
        step(system, Drop("a"), notes=[(PLACE, b"9")], guard=(PLACE, None)).result(PATIENCE)
    assert (caught.value.key, caught.value.expected, caught.value.actual) == (PLACE, None, b"1")
    assert (note(system), letters(system)) == (b"1", 0)
    step(system, Drop("a"), notes=[(PLACE, None)], guard=(PLACE, b"1")).result(PATIENCE)
    assert (note(system), letters(system)) == (None, 1)


def test_steps_and_commands_of_one_batch_see_each_other(system: System) -> None:
    with held_batch(system):
        one = step(system, Drop("a"), notes=[(PLACE, b"1")], guard=(PLACE, None))
        plain = system.submit(Drop("a"))
        two = step(system, Drop("a"), notes=[(PLACE, b"2")], guard=(PLACE, b"1"))
        late = step(system, Drop("a"), notes=[(PLACE, b"3")], guard=(PLACE, b"1"))
        full = system.submit(Drop("a"))
    assert [one.result(PATIENCE)[0].version, plain.result().version, two.result()[0].version] == [1, 2, 3]
    assert type(late.exception(PATIENCE)) is StepSuperseded
    assert type(full.exception(PATIENCE)) is Rejected
    assert (note(system), letters(system)) == (b"2", 3)


# -- notes that fail ------------------------------------------------------------------------
def raising(error: BaseException) -> Callable[[Outcomes], Any]:
    def notes(_outcomes: Outcomes) -> Any:
        raise error

    return notes


@pytest.mark.parametrize(
    ("notes", "error"),
    [
        (raising(ZeroDivisionError("in notes")), ZeroDivisionError),
        (raising(SystemExit()), DeciderFailed),
        ([(PLACE, b"0"), (b"", b"1")], InvalidKey),
        ([(b"k" * 512, b"1")], KeyTooLong),
        ([(PLACE, "text")], StorageError),
    ],
)
def test_nothing_is_left_of_a_step_whose_notes_fail(
    system: System, notes: Any, error: type[Exception]
) -> None:
    with held_batch(system):
        before = system.submit(Drop("a"))
        failing = step(system, Drop("a"), Drop("b"), notes=notes, ids="d-{}".format)
        after = system.submit(Drop("a"))
        again = step(system, Drop("a"), ids="d-{}".format, notes=[(PLACE, b"1")])
    assert type(failing.exception(PATIENCE)) is error or isinstance(failing.exception(), error)
    assert [before.result().version, after.result(PATIENCE).version, again.result()[0].version] == [1, 2, 3]
    assert (letters(system, "b"), note(system), system.position) == (0, b"1", 3)


# -- failures -------------------------------------------------------------------------------
def disk_error() -> lmdb.Error:
    error = lmdb.Error("mdb_txn_commit")
    error.code = errno.EIO
    return error


def counted(system: System) -> Any:
    """A step that moves the place from nothing to 1 and drops two letters."""
    return step(system, Drop("a"), Drop("b"), ids="d-{}".format, notes=[(PLACE, b"1")], guard=(PLACE, None))


def check_done_once(system: System) -> None:
    with pytest.raises(StepSuperseded):
        counted(system).result(PATIENCE)
    assert (letters(system, "a"), letters(system, "b"), note(system)) == (1, 1, b"1")


def test_a_step_of_a_batch_that_is_aborted_is_done_alone_and_once(system: System, monkeypatch: Patch) -> None:
    def has_bad(_log: Any, _txn: Any, batch: Any) -> bool:
        return b"bad" in {**batch.commands_in_events, **dict(batch.commands)}

    put_fault(monkeypatch, EventLog, "_write", lambda: lmdb.BadValsizeError("put"), times=2, only=has_bad)
    with held_batch(system):
        done = counted(system)
        bad = system.submit(Drop("c"), command_id="bad")
        superseded = counted(system)
    assert [one.version for one in done.result(PATIENCE)] == [1, 1]
    assert isinstance(bad.exception(PATIENCE), StorageError)
    assert type(superseded.exception(PATIENCE)) is StepSuperseded
    check_done_once(system)


@pytest.mark.parametrize("after", [False, True], ids=["before it was on disk", "after it was on disk"])
def test_after_a_commit_that_failed_the_guard_tells_whether_the_step_is_done(
    system: System, monkeypatch: Patch, after: bool
) -> None:
    put_fault(monkeypatch, EventLog, "_commit", disk_error, after=after)
    uncertain = counted(system).exception(PATIENCE)
    assert type(uncertain) is CommitUncertain
    assert uncertain.command_id == "d-0"
    assert "look at the notes" in str(uncertain)
    if after:
        check_done_once(system)
    else:
        assert (note(system), letters(system)) == (None, 0)
        assert len(counted(system).result(PATIENCE)) == 2
        check_done_once(system)


@pytest.mark.parametrize("after", [False, True], ids=["before it was on disk", "after it was on disk"])
def test_a_step_in_the_hands_of_a_writer_that_dies_is_done_once(
    system: System, monkeypatch: Patch, after: bool
) -> None:
    put_fault(monkeypatch, CommandHandler, "_commit", after=after)
    outcome = counted(system)
    if after:
        assert type(outcome.exception(PATIENCE)) is StepSuperseded
    else:
        assert [one.version for one in outcome.result(PATIENCE)] == [1, 1]
    check_done_once(system)


def test_a_step_without_a_guard_gets_its_first_receipts_when_the_writer_died_after_the_commit(
    system: System, monkeypatch: Patch
) -> None:
    put_fault(monkeypatch, CommandHandler, "_commit", after=True)
    [receipt] = step(system, Drop("a"), notes=[(PLACE, b"1")]).result(PATIENCE)
    assert (receipt.version, letters(system), note(system)) == (1, 1, b"1")


def test_a_step_that_waits_when_the_system_closes_is_answered(store_path: Path) -> None:
    system = System.open(store_path, post, replicas=1)
    steps = inside.command_client(system).steps
    system.close()
    future = steps.submit([], lambda _outcomes: [(PLACE, b"1")])
    assert type(future.exception(PATIENCE)) is SystemClosed


def test_a_step_that_was_cancelled_while_it_waited_is_not_done(system: System) -> None:
    with held_batch(system):
        future = counted(system)
        assert future.cancel()
    system.execute(Drop("c"))
    assert (note(system), letters(system)) == (None, 0)
