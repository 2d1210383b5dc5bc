"""An id and a time limit belong to a call: however often middleware and conflicts go round it, and in every
way to write.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from actors import (
    CommandIdReused,
    CommandTimeout,
    DeadlineExceeded,
    MiddlewareFailed,
    Receipt,
    Rejected,
    System,
)
from tests.helpers import PATIENCE, wait_until
from tests.system.till import Gate, amounts, till_of
from tests.system.ways_to_write import (
    WAYS,
    each_many,
    each_of,
    each_single_way,
    each_waiting_way,
    each_way,
    opened,
    passed,
    refusing,
)


def losing(times: int = 1) -> Any:
    """A middleware that loses the answer of the first few turns; the command is on disk by then."""
    left = [times]

    def lose(_call: Any) -> Iterator[None]:
        yield
        left[0] -= 1
        if left[0] >= 0:
            raise ConnectionError("the answer was lost")

    return lose


def again(_call: Any) -> Iterator[None]:
    """A middleware that tries for as long as answers are lost."""
    while True:
        try:
            return (yield)
        except ConnectionError:
            pass


# -- one id ------------------------------------------------------------------------------------
@each_way
def test_a_command_that_middleware_tries_again_is_written_once_and_gets_its_first_receipt(
    store_path: Path, way: Any
) -> None:
    seen: list[str] = []

    def look(call: Any) -> Iterator[None]:
        seen.append(call.options["command_id"])
        assert not call.id_given
        yield

    till = till_of(again, look, losing(3))
    with opened(store_path, till) as system:
        receipt = way(system, till.Pay("a", 5))
        assert amounts(system) == [5]
        assert (receipt.first, receipt.command_id) == (1, seen[0])
        assert len(seen) == 4
        assert len(set(seen)) == 1
        # Another call is another command, however equal.
        assert way(system, till.Pay("a", 5)).command_id not in seen[:4]
        assert amounts(system) == [5, 5]


@each_waiting_way
def test_middleware_that_tries_again_after_a_time_out_hands_nothing_over_once_more(
    store_path: Path, way: Any
) -> None:
    turns: list[str] = []
    told: set[str] = set()

    def patient(call: Any) -> Iterator[None]:
        for _ in range(3):
            if call.message.name == "a":
                turns.append(call.options["command_id"])
            try:
                return (yield)
            except CommandTimeout as error:
                told.add(error.command_id)
        yield

    till = till_of(patient)
    till.busy = gate = Gate()
    with opened(store_path, till) as system:
        first = system.submit(till.Pay("b"))
        wait_until(lambda: gate.came)
        with pytest.raises(CommandTimeout) as caught:
            way(system, till.Pay("a", 5), timeout=0.05)
        assert told <= {turns[0]}
        # What `execute_many` does not wait for any longer is told to its middleware when it is there.
        assert len(turns) == (1 if way is WAYS["execute_many"] else 3)
        gate.open()
        first.result(PATIENCE)
        # In a loop what nobody waits for is not begun; a thread's command is on its way.
        system.execute(till.Pay("c"))
        assert amounts(system).count(5) <= 1
        receipt = system.execute(till.Pay("a", 5), command_id=caught.value.command_id)
        assert receipt.events == (till.Paid("a", 5),)
        assert amounts(system).count(5) == 1


@each_way
def test_an_id_of_a_middlewares_own_is_the_one_that_counts(store_path: Path, way: Any) -> None:
    def keyed(call: Any) -> Iterator[None]:
        call.options["command_id"] = f"key-{call.message.name}"
        yield

    till = till_of(keyed)
    with opened(store_path, till) as system:
        receipts = [way(system, till.Pay("a")) for _ in range(2)]
        assert receipts[0] == receipts[1]
        assert receipts[0].command_id == "key-a"
        with pytest.raises(CommandIdReused, match="key-a"):
            way(system, till.Pay("a", 2))


@each_way
def test_an_id_that_a_middleware_takes_away_is_the_calls_all_the_same(store_path: Path, way: Any) -> None:
    def without(call: Any) -> Iterator[None]:
        call.options = {"correlation_id": "visit"}
        yield

    till = till_of(again, without, losing())
    with opened(store_path, till) as system:
        way(system, till.Pay("a", 5))
        assert amounts(system) == [5]
        assert system.stream("till-a")[0].correlation_id == "visit"


@each_single_way
def test_middleware_sees_whether_the_caller_gave_the_id(store_path: Path, way: Any) -> None:
    given: list[tuple[bool, Any]] = []

    def look(call: Any) -> Iterator[None]:
        given.append((call.id_given, call.options["command_id"]))
        yield

    till = till_of(look)
    with opened(store_path, till) as system:
        receipts = [way(system, till.Pay("a"), command_id="mine"), way(system, till.Pay("a"))]
    assert given == [(True, "mine"), (False, receipts[1].command_id)]


def test_an_id_that_a_middleware_has_used_already_is_known(store_path: Path) -> None:
    def twice(call: Any) -> Iterator[None]:
        if not call.id_given:
            system.execute(call.message, command_id=call.options["command_id"])
        yield

    till = till_of(twice)
    with opened(store_path, till) as system:
        assert system.execute(till.Pay("a", 5)).first == 1
        assert amounts(system) == [5]


@each_way
def test_another_message_after_an_answer_that_was_lost_is_refused_not_written(
    store_path: Path, way: Any
) -> None:
    def otherwise(call: Any) -> Iterator[None]:
        try:
            return (yield)
        except ConnectionError:
            call.message = till.Pay("a", 7)
        yield

    till = till_of(otherwise, losing())
    with opened(store_path, till) as system:
        with pytest.raises(CommandIdReused):
            way(system, till.Pay("a", 5))
        assert amounts(system) == [5]


@each_way
def test_another_message_after_a_refusal_goes_in_under_the_id_of_the_call(store_path: Path, way: Any) -> None:
    ids: list[str] = []

    def forgiving(call: Any) -> Iterator[None]:
        ids.append(call.options["command_id"])
        try:
            return (yield)
        except Rejected:
            call.message = till.Pay("a", -call.message.amount)
        yield

    till = till_of(forgiving)
    with opened(store_path, till) as system:
        assert [way(system, till.Pay("a", -3)).command_id] == ids
        assert amounts(system) == [3]


@each_single_way
def test_a_merged_command_whose_answer_is_lost_is_known_by_what_was_sent(store_path: Path, way: Any) -> None:
    till = till_of(again, losing())
    with opened(store_path, till) as system:
        system.append("till-a", [till.Paid("a", 1)])
        merges: list[Any] = []

        def merge(conflict: Any) -> Any:
            merges.append(conflict.command)
            return till.Pay("a", conflict.command.amount + 10)

        receipt = way(system, till.Pay("a", 5), expected_version=0, on_conflict=merge, command_id="mine")
        assert amounts(system) == [1, 15]
        assert receipt.first == 2
        # The second turn, too, begins with what was sent, and finds it written before it comes to a conflict.
        assert merges == [till.Pay("a", 5)]
        again_ = way(system, till.Pay("a", 5), expected_version=0, on_conflict=merge, command_id="mine")
        assert again_ == receipt


@each_single_way
def test_a_merge_that_fails_leaves_the_call_as_it_was(store_path: Path, way: Any) -> None:
    turns: list[tuple[Any, Any]] = []

    def twice(call: Any) -> Iterator[None]:
        turns.append((call.message, call.options["expected_version"]))
        with contextlib.suppress(Rejected):
            return (yield)
        turns.append((call.message, call.options["expected_version"]))
        yield

    till = till_of(twice)
    merged = itertools.chain([till.Pay("a", -1)], itertools.repeat(till.Pay("a", 9)))
    with opened(store_path, till) as system:
        system.append("till-a", [till.Paid("a", 1)])
        way(system, till.Pay("a", 5), expected_version=0, on_conflict=lambda _conflict: next(merged))
        assert turns == [(till.Pay("a", 5), 0)] * 2
        assert amounts(system) == [1, 9]


# -- one time ----------------------------------------------------------------------------------
def slow(_call: Any) -> Iterator[None]:
    """A middleware that asks somebody first."""
    wait_until(passed(0.1))
    yield


@each_single_way
def test_a_relative_deadline_counts_from_the_call_through_middleware(store_path: Path, way: Any) -> None:
    till = till_of(slow)
    with opened(store_path, till) as system:
        with pytest.raises(DeadlineExceeded):
            way(system, till.Pay("a"), deadline=0.05)
        assert way(system, till.Pay("a", 2), deadline=PATIENCE).first == 1


@each_single_way
def test_a_relative_deadline_counts_from_the_call_through_turns(store_path: Path, way: Any) -> None:
    def later(_call: Any) -> Iterator[None]:
        with contextlib.suppress(Rejected):
            return (yield)
        wait_until(passed(0.5))
        yield

    till = till_of(later)
    with opened(store_path, till) as system, pytest.raises(DeadlineExceeded):
        way(system, till.Pay("a", -1), deadline=0.5)


@each_single_way
@pytest.mark.parametrize("around", [(), (again,)], ids=["alone", "with middleware"])
def test_a_relative_deadline_counts_from_the_call_through_merges(
    store_path: Path, way: Any, around: tuple[Any, ...]
) -> None:
    till = till_of(*around)

    def merge(conflict: Any) -> Any:
        wait_until(passed(0.5))
        return conflict.command

    with opened(store_path, till) as system:
        system.append("till-a", [till.Paid("a", 1)])
        with pytest.raises(DeadlineExceeded):
            way(system, till.Pay("a"), expected_version=0, on_conflict=merge, deadline=0.5)
        assert amounts(system) == [1]


@each_single_way
def test_a_deadline_that_a_middleware_gives_counts_from_the_call_too(store_path: Path, way: Any) -> None:
    def strict(call: Any) -> Iterator[None]:
        wait_until(passed(0.1))
        call.options["deadline"] = 0.05
        yield

    till = till_of(strict)
    with opened(store_path, till) as system, pytest.raises(DeadlineExceeded):
        way(system, till.Pay("a"))


@each_waiting_way
def test_nothing_is_handed_over_where_middleware_took_all_the_time(store_path: Path, way: Any) -> None:
    till = till_of(slow)
    with opened(store_path, till) as system:
        with pytest.raises(CommandTimeout, match="not handed over, and nothing was written") as caught:
            way(system, till.Pay("a", 5), timeout=0.05)
        assert caught.value.command_id
        system.execute(till.Pay("b", 2))
        assert amounts(system) == [2]


@each_waiting_way
def test_nothing_is_handed_over_where_a_check_took_all_the_time(store_path: Path, way: Any) -> None:
    till = till_of()
    till.checked = lambda _command: wait_until(passed(0.1))
    with opened(store_path, till) as system:
        with pytest.raises(CommandTimeout, match="not handed over, and nothing was written"):
            way(system, till.Pay("a", 5), timeout=0.05)
        till.checked = lambda _command: None
        system.execute(till.Pay("a", 2))
        assert amounts(system) == [2]


def test_what_a_slow_iterable_gives_after_the_end_is_not_handed_over(store_path: Path) -> None:
    till = till_of()

    def slowly() -> Iterator[Any]:
        yield from (till.Pay("a") for _ in range(500))
        wait_until(lambda: system.position == 500)
        wait_until(passed(0.5))
        yield from (till.Pay("b") for _ in range(501))

    with opened(store_path, till) as system:
        outcomes = system.execute_many(slowly(), timeout=0.5, return_exceptions=True)
        assert {type(one) for one in outcomes[:500]} == {Receipt}
        late = outcomes[500:]
        assert {type(one) for one in late} == {CommandTimeout}
        assert len({one.command_id for one in late}) == 501
        assert "nothing was written" in str(late[0])
        system.execute(till.Pay("c"))
        assert system.position == 501


@pytest.mark.parametrize("around", [(), (again,)], ids=["alone", "with middleware"])
@pytest.mark.parametrize("name", ["execute", "execute_many"])
def test_with_no_time_at_all_a_command_is_handed_over_and_not_waited_for(
    store_path: Path, name: str, around: tuple[Any, ...]
) -> None:
    till = till_of(*around)
    with opened(store_path, till) as system:
        with pytest.raises(CommandTimeout):
            WAYS[name](system, till.Pay("a", 5), timeout=0)
        wait_until(lambda: system.position == 1)


def test_a_submit_without_time_goes_round_as_often_as_it_is_told_to(store_path: Path) -> None:
    till = till_of(again, losing())
    with opened(store_path, till) as system:
        system.append("till-a", [till.Paid("a", 1)])
        future = system.submit(till.Pay("a", 5), timeout=0, expected_version=0, on_conflict=3)
        assert future.result(PATIENCE).first == 2
        assert amounts(system) == [1, 5]


def for_ever(_call: Any) -> Iterator[None]:
    """A middleware that never gives up."""
    while True:
        with contextlib.suppress(Exception):
            return (yield)


@each_waiting_way
def test_middleware_that_never_gives_up_ends_with_the_time_of_its_call(store_path: Path, way: Any) -> None:
    till = till_of(for_ever)
    till.busy = gate = Gate()
    with opened(store_path, till) as system:
        system.submit(till.Pay("b"))
        wait_until(lambda: gate.came)
        with pytest.raises(CommandTimeout):
            way(system, till.Pay("a"), timeout=0.05)
        gate.open()


@each_single_way
def test_middleware_that_never_gives_up_ends_with_the_deadline(store_path: Path, way: Any) -> None:
    till = till_of(for_ever)
    with opened(store_path, till) as system, pytest.raises(DeadlineExceeded):
        way(system, till.Pay("a"), deadline=-1)


# -- many --------------------------------------------------------------------------------------
@each_many
def test_with_middleware_too_the_time_of_many_is_for_all_of_them_together(store_path: Path, way: str) -> None:
    till = till_of(again)
    began = time.monotonic()
    # The writer takes 0.3 s for each, so one after the other would each come within 0.5 s of the one before.
    till.busy = lambda command: wait_until(lambda: time.monotonic() > began + 0.3 * command.amount)
    with opened(store_path, till) as system:
        began = time.monotonic()
        outcomes = each_of(
            system,
            way,
            [till.Pay("a", number) for number in range(1, 5)],
            timeout=0.5,
            return_exceptions=True,
        )
        assert type(outcomes[-1]) is CommandTimeout
        ids = [one.command_id for one in outcomes]
        assert len(set(ids)) == 4
        receipt = system.execute(till.Pay("a", 4), command_id=ids[-1])
        assert receipt.command_id == ids[-1]
        assert amounts(system).count(4) == 1


@each_many
def test_no_middleware_begins_once_the_time_of_many_is_over(store_path: Path, way: str) -> None:
    begun: list[int] = []

    def slow(call: Any) -> Iterator[None]:
        begun.append(call.message.amount)
        wait_until(passed(0.2))
        yield

    till = till_of(slow)
    with opened(store_path, till) as system:
        commands = [till.Pay("a", number) for number in range(1, 21)]
        outcomes = each_of(system, way, commands, timeout=0.3, return_exceptions=True)
        assert begun == [1, 2]
        assert {type(one) for one in outcomes[1:]} == {CommandTimeout}
        assert len({one.command_id for one in outcomes}) == 20
        assert all("nothing was written" in str(one) for one in outcomes[2:])
        begun.clear()
        receipts = each_of(system, way, commands[:3], timeout=PATIENCE)
        assert begun == [1, 2, 3]
        assert {type(one) for one in receipts} == {Receipt}


@each_many
@pytest.mark.parametrize("part", ["before", "after"])
@pytest.mark.parametrize("error", [PermissionError, TimeoutError, RuntimeError])
def test_an_error_of_middleware_is_the_outcome_of_its_command_among_many(
    store_path: Path, way: str, part: str, error: type[Exception]
) -> None:
    till = till_of(refusing(error, part))
    with opened(store_path, till) as system:
        commands = [till.Pay(name) for name in ("a", "locked", "b", "locked", "c")]
        outcomes = each_of(system, way, commands, return_exceptions=True)
        assert [type(one) for one in outcomes] == [Receipt, error, Receipt, error, Receipt]
        with pytest.raises(error, match="not for you") as caught:
            each_of(system, way, commands)
        assert [type(one) for one in caught.value.outcomes] == [Receipt, error, Receipt, error, Receipt]


ELSEWHERE = [
    *itertools.product(
        [asyncio.CancelledError], ["before", "after"], ["execute_many", "aexecute_many", "session"]
    ),
    # Elsewhere it is raised in the caller's own thread, which it ends.
    *itertools.product([SystemExit], ["after"], ["execute_many", "session"]),
]


@pytest.mark.parametrize(("error", "part", "way"), ELSEWHERE)
def test_what_is_no_exception_is_the_outcome_of_its_command_alone(
    store_path: Path, way: str, part: str, error: type[BaseException]
) -> None:
    till = till_of(refusing(error, part))
    with opened(store_path, till) as system:
        commands = [till.Pay(name) for name in ("a", "locked", "b", "locked", "c")]
        outcomes = each_of(system, way, commands, return_exceptions=True)
        expected = [Receipt, MiddlewareFailed, Receipt, MiddlewareFailed, Receipt]
        assert [type(one) for one in outcomes] == expected
        assert type(outcomes[1].__cause__) is error
        assert len(amounts(system)) == (3 if part == "before" else 5)
        with pytest.raises(MiddlewareFailed, match=error.__name__) as caught:
            each_of(system, way, commands)
        assert [type(one) for one in caught.value.outcomes] == expected


def test_a_task_that_is_cancelled_ends_the_call_of_many_and_leaves_the_commands_on_their_way(
    store_path: Path,
) -> None:
    till = till_of(again)
    till.busy = gate = Gate()

    async def main(system: System) -> None:
        task = asyncio.ensure_future(system.aexecute_many([till.Pay("a")] * 3, return_exceptions=True))
        while not gate.came:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.open()

    with opened(store_path, till) as system:
        asyncio.run(main(system))


@pytest.mark.parametrize("part", ["before", "while it waits"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_caller_ends_the_call_of_many(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, error: type[BaseException]
) -> None:
    def guard(call: Any) -> Iterator[None]:
        if part == "before" and call.message.name == "b":
            raise error("over")
        yield

    class Interrupted(Future):  # type: ignore[type-arg]
        def result(self, timeout: float | None = None) -> Any:
            super().result(timeout)
            raise error("over")

    till = till_of(guard)
    with opened(store_path, till) as system:
        if part != "before":
            monkeypatch.setattr("actors.writer.submit_middleware.Future", Interrupted)
        with pytest.raises(error, match="over"):
            system.execute_many([till.Pay(name) for name in "abc"], return_exceptions=True)
        monkeypatch.undo()


class Broken(Exception):
    """What an iterable raises."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name} can't be set")


@each_many
@pytest.mark.parametrize("around", [(), (again,)], ids=["alone", "with middleware"])
@pytest.mark.parametrize("return_exceptions", [False, True])
def test_an_iterable_that_breaks_has_what_it_gave_executed_and_its_error_has_the_outcomes(
    store_path: Path, way: str, around: tuple[Any, ...], return_exceptions: bool
) -> None:
    till = till_of(*around)

    def lines() -> Iterator[Any]:
        for number in range(700):
            yield till.Pay("a", -1 if number == 350 else 1)
        raise Broken("line 701")

    with opened(store_path, till) as system:
        with pytest.raises(Broken, match="line 701") as caught:
            each_of(system, way, lines(), return_exceptions=return_exceptions)
        outcomes = caught.value.outcomes
        assert len(outcomes) == 700
        assert type(outcomes[350]) is Rejected
        assert [one.version for one in outcomes if one is not outcomes[350]] == list(range(1, 700))
        assert system.position == 699


@each_many
def test_an_iterable_that_breaks_at_once_has_no_outcomes(store_path: Path, way: str) -> None:
    class Nothing:
        def __iter__(self) -> Iterator[Any]:
            raise Broken("no such file")

    till = till_of()
    with opened(store_path, till) as system:
        with pytest.raises(Broken) as caught:
            each_of(system, way, Nothing())
        assert caught.value.outcomes == []


# -- what a session notes ----------------------------------------------------------------------
def test_a_session_takes_an_outcome_that_is_no_receipt(store_path: Path) -> None:
    def elsewhere(call: Any) -> Iterator[None]:
        if call.message.name == "elsewhere":
            return "taken"
        yield

    till = till_of(elsewhere)
    with opened(store_path, till) as system, system.session() as session:
        assert session.execute(till.Pay("elsewhere")) == "taken"
        assert asyncio.run(session.aexecute(till.Pay("elsewhere"))) == "taken"
        assert session.submit(till.Pay("elsewhere")).result(PATIENCE) == "taken"
        session.execute(till.Pay("a"))
        assert session.position == 1
