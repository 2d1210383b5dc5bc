"""Inline tables against a model in Python, over batches, steps, faults and reopenings in any order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lmdb
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors import CommitUncertain, DeciderFailed, Receipt, Rejected, System
from actors.writer.command_handler import CommandHandler
from storage import EventLog
from tests import inside
from tests.faults import put_fault
from tests.helpers import PATIENCE, quick_folder
from tests.system.batches import held_batch
from tests.system.club import SEATS, Break, Join, Leave, Rename, Sit, club, names, register, rooms, seats
from tests.system.inline_checks import check_inline
from tests.system.test_inline import disk_error

members, titles = st.sampled_from("12345678"), st.sampled_from(["ann", "bob", "cy"])
commands = st.one_of(
    st.builds(Join, members, titles),
    st.builds(Rename, members, titles),
    st.builds(Leave, members),
    st.builds(Sit, members, st.sampled_from(["bar", "hall"])),
    st.builds(Break, members, st.sampled_from(["raise", "row", "not"])),
)
batches = st.lists(commands, min_size=1, max_size=12)


class Model:
    """What the club's rules say, in dicts."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.known: set[str] = set()
        self.seats: set[tuple[str, str]] = set()

    def copy(self) -> Model:
        other = Model()
        other.names, other.known, other.seats = dict(self.names), set(self.known), set(self.seats)
        return other

    def do(self, command: Any) -> type:
        """The type of the outcome; what it changes is changed."""
        member = command.id
        held = [name for name, holder in self.names.items() if holder == member]
        match command:
            case Join(name=name):
                if held or name in self.names:
                    return Rejected
                self.names[name] = member
            case Rename(name=name):
                if member not in self.known or not held or (name in self.names and name not in held):
                    return Rejected
                del self.names[held[0]]
                self.names[name] = member
                return Receipt
            case Leave():
                if member not in self.known:
                    return Rejected
                if held:
                    del self.names[held[0]]
                return Receipt
            case Sit(room=room):
                if sum(one[0] == room for one in self.seats | {(room, member)}) > SEATS:
                    return Rejected
                self.seats.add((room, member))
                return Receipt
            case Break(how=how):
                return Receipt if how == "not" else DeciderFailed
        self.known.add(member)
        return Receipt


@settings(max_examples=settings().max_examples // 3 + 1)
class Clubs(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = quick_folder()
        self.model = Model()
        self.open()

    def open(self) -> None:
        self.system = System.open(Path(self.folder.name, "club"), club, replicas=1)
        self.deaths = 0

    def handed_over(self, batch: list[Any], ids: list[str] | None = None) -> list[Any]:
        with held_batch(self.system):
            futures = [
                self.system.submit(one, **({} if ids is None else {"command_id": ids[number]}))
                for number, one in enumerate(batch)
            ]
        return [future.exception(PATIENCE) or future.result() for future in futures]

    @rule(batch=batches)
    def a_batch(self, batch: list[Any]) -> None:
        wanted = [self.model.do(one) for one in batch]
        assert list(map(type, self.handed_over(batch))) == wanted

    @rule(before=batches, between=batches, after=batches, fails=st.booleans())
    def a_step_among_commands(
        self, before: list[Any], between: list[Any], after: list[Any], fails: bool
    ) -> None:
        steps = inside.command_client(self.system).steps

        def notes(_outcomes: Any) -> Any:
            if fails:
                raise ZeroDivisionError
            return [(b"k", b"v")]

        with held_batch(self.system):
            first = [self.system.submit(one) for one in before]
            step = steps.submit([steps.submission(one) for one in between], notes)
            last = [self.system.submit(one) for one in after]
        wanted = [self.model.do(one) for one in before]
        trial = self.model.copy()
        within = [trial.do(one) for one in between]
        if fails:
            assert type(step.exception(PATIENCE)) is ZeroDivisionError
        else:
            self.model = trial
            assert list(map(type, step.result(PATIENCE))) == within
        wanted += [self.model.do(one) for one in after]
        found = [future.exception(PATIENCE) or future.result() for future in first + last]
        assert list(map(type, found)) == wanted

    @rule(batch=batches, done=st.booleans())
    def a_commit_that_fails(self, batch: list[Any], done: bool) -> None:
        trial = self.model.copy()
        wanted = [trial.do(one) for one in batch]
        with pytest.MonkeyPatch.context() as patch:
            put_fault(patch, EventLog, "_commit", disk_error, after=done)
            outcomes = self.handed_over(batch)
        if Receipt not in wanted:
            assert list(map(type, outcomes)) == wanted
        else:
            assert set(map(type, outcomes)) == {CommitUncertain}
            if done:
                self.model = trial

    @rule(batch=batches)
    def a_batch_that_is_aborted(self, batch: list[Any]) -> None:
        wanted = [self.model.do(one) for one in batch]
        with pytest.MonkeyPatch.context() as patch:
            put_fault(patch, EventLog, "_write", lambda: lmdb.BadValsizeError("put"), after=True)
            # A batch of one has nobody to be decided apart from.
            outcomes = self.handed_over([*batch, Leave("nobody"), Sit("9", "other")])
        assert list(map(type, outcomes)) == [*wanted, Rejected, Receipt]
        self.model.seats.add(("other", "9"))

    @precondition(lambda self: self.deaths < 3)  # each comes back later than the one before
    @rule(batch=batches, done=st.booleans())
    def a_writer_that_dies(self, batch: list[Any], done: bool) -> None:
        self.deaths += 1
        wanted = [self.model.do(one) for one in batch]
        with pytest.MonkeyPatch.context() as patch:
            put_fault(patch, CommandHandler, "_commit", after=done)
            outcomes = self.handed_over(batch)
        accepted = [kind is Receipt for kind in wanted]
        assert [type(one) is Receipt for one in outcomes] == accepted

    @rule()
    def reopen(self) -> None:
        self.system.close()
        self.open()

    @invariant()
    def tables_and_model_agree(self) -> None:
        if not hasattr(self, "system"):
            return
        with self.system.view(register, rooms) as view:
            assert {row["name"]: row["id"] for row in view[names].all()} == self.model.names
            assert {(row["room"], row["id"]) for row in view[seats].all()} == self.model.seats

    def teardown(self) -> None:
        if hasattr(self, "system"):
            check_inline(inside.log(self.system))
            self.system.close()
            self.folder.cleanup()


TestClubs = Clubs.TestCase
