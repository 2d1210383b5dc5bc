"""The commands of one `execute_many`, without a system: a mailbox, and a writer that is the test."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from actors import CommandTimeout, InvalidMessage, MiddlewareFailed, Overloaded, Receipt, UnknownMessage
from actors.kernel.mailbox import Mailbox
from actors.writer.bulk_execution import (
    BULK_SIZE,
    CommandSource,
    ManyCommands,
    ain_bulks,
    aone_by_one,
    in_bulks,
    one_by_one,
    with_outcomes,
)
from actors.writer.call_attempts import CallAttempts
from actors.writer.submission import Bulk, Submission
from actors.writer.submission_factory import SubmissionFactory
from tests.bank_domain import Deposit, Open, bank
from tests.helpers import PATIENCE, wait_until


def receipt(submission: Submission) -> Receipt:
    """What a writer answers that gives each command an event."""
    return Receipt(submission.command_id, 1, 1, 1, submission.stream, 1, {}, ())


def deposits(count: int) -> list[Any]:
    return [Deposit(f"p{number}", number) for number in range(count)]


def submissions(count: int) -> list[Submission]:
    make = SubmissionFactory(bank.compile())
    return [make.of_command(Open(f"p{number}"), {}, None) for number in range(count)]


def many_of(*commands: Any, **options: Any) -> ManyCommands:
    return ManyCommands(SubmissionFactory(bank.compile()), CommandSource(commands), options)


class Writer:
    """Answers, in a thread of its own, each bulk that is put into its mailbox, `answer` being asked for each
    command.
    """

    def __init__(self, answer: Callable[[Submission], Any] = receipt, limit: int | None = None) -> None:
        self.mailbox = Mailbox(limit)
        self.bulks: list[list[Any]] = []
        self._answer = answer
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while True:
            bulk = self.mailbox.get()
            if not isinstance(bulk, Bulk):
                return
            self.bulks.append([one.command for one in bulk.submissions])
            for one in bulk.submissions:
                one.settle(self._answer(one))

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.mailbox.put(object())
        self._thread.join(PATIENCE)


def execute(
    many: ManyCommands, mailbox: Mailbox, timeout: float = PATIENCE, *, loop: bool = False
) -> list[Any]:
    """Hand them over, in this thread or in a loop, and give their outcomes."""
    if loop:

        async def main() -> None:
            await ain_bulks(many, mailbox, time.monotonic() + timeout, timeout)

        asyncio.run(main())
    else:
        in_bulks(many, mailbox, time.monotonic() + timeout, timeout)
    return many.outcomes


class Clock:
    """The time as the bulks have it: so many seconds later than it is."""

    def __init__(self) -> None:
        self.later = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.later


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("actors.writer.bulk_execution.time", clock)
    return clock


each_way = pytest.mark.parametrize("loop", [False, True], ids=["in a thread", "in a loop"])


# -- where commands come from ---------------------------------------------------------------------
def test_commands_are_taken_as_they_are_asked_for() -> None:
    given: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(5):
            given.append(number)
            yield number

    source = CommandSource(numbers())
    assert source.take(2) == [0, 1]
    assert given == [0, 1]
    assert source.take() == [2, 3, 4]
    assert source.take(2) == source.take() == []
    assert source.done(["outcomes"]) == ["outcomes"]


def test_where_commands_break_off_those_before_are_taken_and_the_error_has_their_outcomes() -> None:
    def numbers() -> Iterator[int]:
        yield from range(3)
        raise LookupError("line 4")

    source = CommandSource(numbers())
    assert source.take(2) == [0, 1]
    assert source.take(2) == [2]
    assert source.take(2) == []
    with pytest.raises(LookupError, match="line 4") as caught:
        source.done(["a", "b", "c"])
    assert caught.value.outcomes == ["a", "b", "c"]
    assert source.done([]) == []


def test_what_can_not_be_gone_through_breaks_before_the_first_command() -> None:
    class Nothing:
        def __iter__(self) -> Iterator[Any]:
            raise LookupError("no such file")

    source = CommandSource(Nothing())
    assert source.take(1) == []
    with pytest.raises(LookupError, match="no such file") as caught:
        source.done([])
    assert caught.value.outcomes == []


def test_outcomes_are_put_into_an_error_that_refuses_attributes() -> None:
    class Closed(Exception):
        def __setattr__(self, name: str, value: Any) -> None:
            raise AttributeError(name)

    assert with_outcomes(Closed(), [1]).outcomes == [1]  # type: ignore[attr-defined]


# -- bulks ----------------------------------------------------------------------------------------
@each_way
@pytest.mark.parametrize("count", [0, 1, BULK_SIZE, BULK_SIZE + 1, 2 * BULK_SIZE + 3])
def test_commands_travel_in_bulks_and_their_outcomes_are_in_their_order(count: int, loop: bool) -> None:
    commands = deposits(count)
    with Writer() as writer:
        outcomes = execute(many_of(*commands), writer.mailbox, loop=loop)
    assert [one.stream for one in outcomes] == [f"account-{command.owner}" for command in commands]
    assert [one for bulk in writer.bulks for one in bulk] == commands
    assert all(len(bulk) <= BULK_SIZE for bulk in writer.bulks)
    assert len(writer.bulks) == -(-count // BULK_SIZE)


@each_way
def test_commands_that_are_none_and_those_that_are_refused_have_errors_in_their_places(loop: bool) -> None:
    def answer(submission: Submission) -> Any:
        return receipt(submission) if isinstance(submission.command, Open) else ValueError("refused")

    commands = ["no command", Open("a"), Deposit("a", "much"), Deposit("a", 1), Open("b"), None]
    with Writer(answer) as writer:
        outcomes = execute(many_of(*commands), writer.mailbox, loop=loop)
    assert [type(one) for one in outcomes] == [
        UnknownMessage,
        Receipt,
        InvalidMessage,
        ValueError,
        Receipt,
        UnknownMessage,
    ]
    assert writer.bulks == [[Open("a"), Deposit("a", 1), Open("b")]]


@each_way
def test_where_no_command_is_one_nothing_is_handed_over(loop: bool) -> None:
    mailbox = Mailbox()
    outcomes = execute(many_of("a", "b"), mailbox, loop=loop)
    assert [type(one) for one in outcomes] == [UnknownMessage] * 2
    assert mailbox.empty()


@each_way
def test_options_and_metadata_are_those_of_every_command(loop: bool) -> None:
    seen: list[tuple[Any, Any]] = []

    def answer(submission: Submission) -> Receipt:
        seen.append((submission.correlation_id, submission.metadata))
        return receipt(submission)

    options = {"correlation_id": "import", "metadata": {"user": "eve"}}
    with Writer(answer) as writer:
        execute(many_of(*deposits(2), **options), writer.mailbox, loop=loop)
    assert seen == [("import", {"user": "eve"})] * 2


@each_way
def test_what_has_no_reply_in_time_may_be_on_disk(loop: bool, clock: Clock) -> None:
    """Nobody answers: what is handed over is in the mailbox for good."""

    class Slow(Mailbox):
        def offer(self, *given: Any, **options: Any) -> bool:
            clock.later = 0.0
            return super().offer(*given, **options)

    mailbox = Slow()
    clock.later = -3600.0  # However slow this machine is, they are handed over in time.
    outcomes = execute(many_of(*deposits(3)), mailbox, 0.05, loop=loop)
    assert [type(one) for one in outcomes] == [CommandTimeout] * 3
    assert all("may or may not be on disk" in str(one) for one in outcomes)
    if not loop:
        [handed_over] = [one.submissions for one in mailbox.drain(9, Bulk)]
        assert [one.command_id for one in handed_over] == [one.command_id for one in outcomes]


@each_way
def test_a_bulk_for_which_there_is_no_room_in_time_is_not_written(loop: bool) -> None:
    mailbox = Mailbox(1)
    mailbox.put(Bulk(submissions(1)))
    outcomes = execute(many_of(*deposits(2)), mailbox, 0.05, loop=loop)
    assert [type(one) for one in outcomes] == [Overloaded] * 2
    assert len(mailbox.drain(9, Bulk)) == 1


@each_way
def test_what_is_made_after_the_time_is_over_is_not_handed_over(loop: bool, clock: Clock) -> None:
    def slowly() -> Iterator[Any]:
        yield from deposits(BULK_SIZE)
        wait_until(lambda: writer.bulks)
        clock.later = 3600.0
        yield from deposits(2)

    with Writer() as writer:
        many = ManyCommands(SubmissionFactory(bank.compile()), CommandSource(slowly()), {})
        outcomes = execute(many, writer.mailbox, loop=loop)
    assert [type(one) for one in outcomes[BULK_SIZE:]] == [CommandTimeout] * 2
    assert all("nothing was written" in str(one) for one in outcomes[BULK_SIZE:])
    assert [len(bulk) for bulk in writer.bulks] == [BULK_SIZE]


@each_way
def test_where_there_is_no_room_that_is_the_reason_though_the_time_is_over_too(
    loop: bool, clock: Clock
) -> None:
    mailbox = Mailbox(1)
    mailbox.put(Bulk(submissions(1)))
    clock.later = 3600.0
    outcomes = execute(many_of(*deposits(2)), mailbox, 0.01, loop=loop)
    assert [type(one) for one in outcomes] == [Overloaded] * 2


@each_way
def test_without_any_time_all_are_handed_over_that_there_is_room_for(loop: bool) -> None:
    mailbox = Mailbox()
    outcomes = execute(many_of(*deposits(BULK_SIZE + 1)), mailbox, 0, loop=loop)
    assert {type(one) for one in outcomes} == {CommandTimeout}
    assert "may or may not be on disk" in str(outcomes[-1])
    if not loop:
        assert [len(one.submissions) for one in mailbox.drain(9, Bulk)] == [BULK_SIZE, 1]


def test_a_task_that_is_cancelled_leaves_what_it_handed_over_on_its_way() -> None:
    mailbox = Mailbox()
    many = many_of(*deposits(2))

    async def main() -> None:
        task = asyncio.ensure_future(ain_bulks(many, mailbox, time.monotonic() + PATIENCE, PATIENCE))
        while mailbox.empty():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    [bulk] = mailbox.drain(9, Bulk)
    for one in bulk.submissions:
        one.settle(receipt(one))


# -- one by one, where middleware sees each -------------------------------------------------------
def attempts(timeout: float = PATIENCE) -> CallAttempts:
    return CallAttempts("mine", True, time.monotonic() + timeout, timeout)


def done(outcome: Any) -> Future[Any]:
    future: Future[Any] = Future()
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
    return future


def submitted(*outcomes: Any, timeout: float = PATIENCE) -> list[Any]:
    """What becomes of commands of which each has this outcome, None standing for none at all."""
    left = iter(outcomes)

    def submit(_command: Any) -> tuple[Future[Any], CallAttempts]:
        outcome = next(left)
        return Future() if outcome is None else done(outcome), attempts(timeout)

    return one_by_one(submit, CommandSource(range(len(outcomes))))


def test_one_by_one_each_has_its_outcome() -> None:
    error = LookupError("no")
    assert submitted("a", error, "b") == ["a", error, "b"]
    assert submitted() == []


def test_one_by_one_all_are_handed_over_before_the_first_is_waited_for() -> None:
    futures: list[Future[Any]] = []

    def submit(_command: Any) -> tuple[Future[Any], CallAttempts]:
        futures.append(Future())
        if len(futures) == 3:
            for number, future in enumerate(futures):
                future.set_result(number)
        return futures[-1], attempts()

    assert one_by_one(submit, CommandSource("abc")) == [0, 1, 2]


def test_one_by_one_what_has_no_outcome_in_time_may_be_on_disk() -> None:
    [outcome] = submitted(None, timeout=0.01)
    assert isinstance(outcome, CommandTimeout)
    assert outcome.command_id == "mine"
    assert "no reply to command 'mine' within 0.01 s" in str(outcome)


def test_one_by_one_a_time_out_of_middleware_is_the_outcome_and_not_that_of_the_call() -> None:
    error = TimeoutError("the bank did not answer")
    assert submitted(error) == [error]


def test_one_by_one_an_outcome_that_comes_at_the_end_of_the_time_counts() -> None:
    class Late(Future):  # type: ignore[type-arg]
        def result(self, timeout: float | None = None) -> Any:
            if not self.done():
                self.set_result("a")
                raise TimeoutError
            return super().result(timeout)

    assert one_by_one(lambda _command: (Late(), attempts()), CommandSource("a")) == ["a"]


@pytest.mark.parametrize("error", [asyncio.CancelledError(), SystemExit(3)])
def test_one_by_one_what_is_no_exception_is_the_outcome_of_its_command(error: BaseException) -> None:
    failed, other = submitted(error, "b")
    assert isinstance(failed, MiddlewareFailed)
    assert type(error).__name__ in str(failed)
    assert failed.__cause__ is error
    assert other == "b"


def test_one_by_one_a_cancellation_while_a_command_is_handed_over_is_its_outcome_too() -> None:
    cancelled = asyncio.CancelledError()

    def submit(command: Any) -> tuple[Future[Any], CallAttempts]:
        if command == "b":
            raise cancelled
        return done(command), attempts()

    first, failed, last = one_by_one(submit, CommandSource("abc"))
    assert (first, last) == ("a", "c")
    assert isinstance(failed, MiddlewareFailed)
    assert failed.__cause__ is cancelled


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_one_by_one_what_ends_the_waiting_thread_ends_the_call(error: type[BaseException]) -> None:
    class Interrupted(Future):  # type: ignore[type-arg]
        def result(self, timeout: float | None = None) -> Any:
            raise error

    with pytest.raises(error):
        one_by_one(lambda _command: (Interrupted(), attempts()), CommandSource("a"))


def awaited(aexecute: Callable[[Any], Any], commands: Any) -> list[Any]:
    async def main() -> list[Any]:
        return await aone_by_one(aexecute, CommandSource(commands))

    return asyncio.run(main())


def test_in_a_loop_each_has_its_outcome_and_none_waits_for_the_one_before() -> None:
    error = LookupError("no")

    async def main() -> list[Any]:
        begun: list[str] = []
        all_begun = asyncio.Event()

        async def aexecute(command: str) -> str:
            begun.append(command)
            if len(begun) == 3:
                all_begun.set()
            await all_begun.wait()
            if command == "b":
                raise error
            return command

        return await aone_by_one(aexecute, CommandSource("abc"))

    assert asyncio.run(main()) == ["a", error, "c"]
    assert awaited(lambda command: command, []) == []


def test_in_a_loop_a_cancellation_of_middleware_is_the_outcome_of_its_command() -> None:
    cancelled = asyncio.CancelledError()

    async def aexecute(command: str) -> str:
        if command == "a":
            raise cancelled
        return command

    failed, other = awaited(aexecute, "ab")
    assert isinstance(failed, MiddlewareFailed)
    assert failed.__cause__ is cancelled
    assert other == "b"


def test_in_a_loop_the_cancellation_of_the_caller_is_its_own_and_leaves_the_commands_alone() -> None:
    finished: list[str] = []

    async def main() -> None:
        release = asyncio.Event()

        async def aexecute(command: str) -> str:
            await release.wait()
            finished.append(command)
            return command

        task = asyncio.ensure_future(aone_by_one(aexecute, CommandSource("ab")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        while len(finished) < 2:
            await asyncio.sleep(0)

    asyncio.run(main())
    assert finished == ["a", "b"]


def test_in_a_loop_a_command_that_is_cancelled_with_its_loop_is_no_outcome() -> None:
    async def aexecute(_command: str) -> None:
        for task in asyncio.all_tasks() - {caller}:
            task.cancel()
        await asyncio.sleep(PATIENCE)

    async def main() -> None:
        nonlocal caller
        caller = asyncio.current_task()
        await aone_by_one(aexecute, CommandSource("a"))

    caller: asyncio.Task[Any] | None = None
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
