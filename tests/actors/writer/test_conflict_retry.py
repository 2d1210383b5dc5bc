"""What is done about a conflict, without a system: the middleware of `on_conflict=` around a writer that is a
function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from actors import ConcurrencyConflict
from actors.domain.middleware import Call, run
from actors.testing._history import MemoryHistory
from actors.writer.conflict_retry import conflict_retry
from tests.bank_domain import Deposit, Moved, Opened, bank

STREAM = "account-ann"


@pytest.fixture
def history() -> MemoryHistory:
    """Ann's account: opened, and two deposits since."""
    history = MemoryHistory(bank.compile())
    for event in (Opened("ann"), Opened("bob"), Moved("ann", 1), Moved("bob", 7), Moved("ann", 2)):
        history.add(event)
    return history


def conflict(expected: int, actual: int) -> ConcurrencyConflict:
    return ConcurrencyConflict(STREAM, expected, actual)


class Writer:
    """Takes commands: raises what it is given, one after the other, and then accepts."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.taken: list[tuple[Any, Any]] = []

    def __call__(self, call: Call) -> str:
        self.taken.append((call.message, call.options["expected_version"]))
        if self.errors:
            raise self.errors.pop(0)
        return "accepted"


def executed(on_conflict: Any, writer: Writer, history: MemoryHistory, call: Call | None = None) -> Any:
    return run([conflict_retry(on_conflict, history)], call or deposit(), writer)


def deposit(expected: int = 1, amount: int = 5) -> Call:
    return Call(Deposit("ann", amount), None, {"expected_version": expected})


# -- a number of retries --------------------------------------------------------------------------
def test_a_command_without_a_conflict_goes_in_once(history: MemoryHistory) -> None:
    writer = Writer()
    assert executed(3, writer, history) == "accepted"
    assert writer.taken == [(Deposit("ann", 5), 1)]


def test_each_retry_expects_the_version_that_was_found(history: MemoryHistory) -> None:
    writer = Writer(conflict(1, 3), conflict(3, 4))
    assert executed(2, writer, history) == "accepted"
    assert [expected for _, expected in writer.taken] == [1, 3, 4]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_after_so_many_retries_the_last_conflict_is_raised(history: MemoryHistory, retries: int) -> None:
    conflicts = [conflict(number, number + 1) for number in range(5)]
    writer = Writer(*conflicts)
    with pytest.raises(ConcurrencyConflict) as caught:
        executed(retries, writer, history)
    assert caught.value is conflicts[retries]
    assert len(writer.taken) == retries + 1


def test_no_retry_is_made_for_another_error(history: MemoryHistory) -> None:
    writer = Writer(RuntimeError("the disk"))
    with pytest.raises(RuntimeError, match="the disk"):
        executed(3, writer, history)
    assert len(writer.taken) == 1


# -- a function that merges -----------------------------------------------------------------------
def test_a_merge_is_told_the_command_and_the_events_that_came_between(history: MemoryHistory) -> None:
    told: list[tuple[Any, Any, Any]] = []

    def merge(found: ConcurrencyConflict) -> Deposit:
        told.append((found.command, found.events, found.actual))
        return Deposit("ann", 6)

    writer = Writer(conflict(1, 3))
    assert executed(merge, writer, history) == "accepted"
    assert told == [(Deposit("ann", 5), [Moved("ann", 1), Moved("ann", 2)], 3)]
    assert writer.taken == [(Deposit("ann", 5), 1), (Deposit("ann", 6), 3)]


def test_a_merge_is_told_of_no_event_that_came_after_the_conflict(history: MemoryHistory) -> None:
    events: list[Any] = []
    writer = Writer(conflict(1, 2), conflict(1, 0))
    executed(lambda found: (events.append(found.events), found.command)[1], writer, history)
    assert events == [[Moved("ann", 1)], []]


def test_what_was_merged_may_be_merged_again_and_stands_for_what_was_sent(history: MemoryHistory) -> None:
    call = deposit(amount=1)
    writer = Writer(conflict(1, 2), conflict(2, 3))
    sent: list[Any] = []

    def merge(found: ConcurrencyConflict) -> Deposit:
        sent.append(call.sent)
        return Deposit("ann", found.command.amount * 10)

    executed(merge, writer, history, call)
    assert [message.amount for message, _ in writer.taken] == [1, 10, 100]
    assert sent == [Deposit("ann", 1)] * 2
    assert call.sent == Deposit("ann", 1)


def test_a_merge_that_gives_nothing_gives_the_conflict_up(history: MemoryHistory) -> None:
    found = conflict(1, 3)
    with pytest.raises(ConcurrencyConflict) as caught:
        executed(lambda _found: None, Writer(found), history)
    assert caught.value is found
    assert found.events == [Moved("ann", 1), Moved("ann", 2)]


# -- what those further out see -------------------------------------------------------------------
@pytest.mark.parametrize("on_conflict", [1, lambda _found: Deposit("ann", 9)], ids=["retries", "a merge"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_call_that_fails_is_left_as_it_came(
    history: MemoryHistory, on_conflict: Any, error: type[BaseException]
) -> None:
    call = deposit()
    with pytest.raises(error):
        executed(on_conflict, Writer(conflict(1, 3), error("no")), history, call)  # type: ignore[arg-type]
    assert (call.message, call.options) == (Deposit("ann", 5), {"expected_version": 1})


def test_a_merge_that_raises_leaves_the_call_as_it_came(history: MemoryHistory) -> None:
    call = deposit()

    def merge(_found: ConcurrencyConflict) -> Deposit:
        raise LookupError("no such price")

    with pytest.raises(LookupError, match="no such price"):
        executed(merge, Writer(conflict(1, 3)), history, call)
    assert (call.message, call.options) == (Deposit("ann", 5), {"expected_version": 1})


# -- what it may be -------------------------------------------------------------------------------
@pytest.mark.parametrize("on_conflict", ["retry", True, False, 1.0, None, math.inf, [], object()])
def test_what_is_neither_a_number_nor_a_function_is_refused_at_once(
    history: MemoryHistory, on_conflict: Any
) -> None:
    with pytest.raises(ValueError, match="on_conflict= is 'raise', a number of retries, or a function, not "):
        conflict_retry(on_conflict, history)


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda call: setattr(call, "options", None), r"call\.options are those of execute\(\), a dict"),
        (lambda call: call.options.update(colour="red"), "colour"),
    ],
)
def test_options_that_middleware_has_spoilt_are_refused_before_anything_goes_in(
    history: MemoryHistory, spoil: Callable[[Call], None], error: str
) -> None:
    call, writer = deposit(), Writer()
    spoil(call)
    with pytest.raises(TypeError, match=error):
        executed(3, writer, history, call)
    assert writer.taken == []
