"""The commands of one `execute_many`: sent in bulks, and their outcomes put together again.

Where middleware sees each command they are sent one by one, and still share commits, since none waits for the
one before. Runs in the caller's thread or event loop.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from actors.errors import MiddlewareFailed
from actors.kernel.async_reply import AsyncReply
from actors.kernel.lazy_asyncio import asyncio
from actors.kernel.mailbox import Mailbox
from actors.receipt import Receipt
from actors.writer.call_attempts import CallAttempts
from actors.writer.call_errors import late, no_reply, overloaded
from actors.writer.submission import Bulk, CommandOutcome, Submission, receipt_or_error
from actors.writer.submission_factory import SubmissionFactory
from storage import OnewriterError

__all__ = ["BULK_SIZE", "CommandSource", "ManyCommands", "aone_by_one", "one_by_one", "with_outcomes"]

BULK_SIZE = 500
"""Commands of `execute_many` that travel in one message."""


def with_outcomes(error: Exception, outcomes: Sequence[Any]) -> Exception:
    """The error, with the outcomes of the commands as its `outcomes`."""
    # Not by assignment, which a foreign class may refuse.
    vars(error)["outcomes"] = outcomes
    return error


class CommandSource:
    """The commands of the caller's iterable.

    Where the iterable raises they end, and its error is kept until they are done.
    """

    def __init__(self, commands: Iterable[Any]) -> None:
        self._commands = commands
        self._rest: Iterator[Any] | None = None
        self.error: Exception | None = None

    def take(self, most: int | None = None) -> list[Any]:
        """The next ones; none where it has ended, or is broken."""
        taken: list[Any] = []
        if self.error is None:
            try:
                if self._rest is None:
                    self._rest = iter(self._commands)
                # What it gives before it raises is in the list by then.
                taken.extend(self._rest if most is None else itertools.islice(self._rest, most))
            except Exception as error:
                self.error = error
        return taken

    def done(self, outcomes: list[Any]) -> list[Any]:
        """The outcomes of those that it gave; raises its error with them where it broke."""
        error, self.error = self.error, None
        if error is not None:
            try:
                raise with_outcomes(error, outcomes)
            finally:
                del error
        return outcomes


class ManyCommands:
    """`outcomes` has each command's receipt or error, in order, once all of them are done."""

    def __init__(self, make: SubmissionFactory, given: CommandSource, options: dict[str, Any]) -> None:
        self.outcomes: list[Any] = []
        self._make = make
        self._given = given
        self._options = options

    def bulks(self) -> Iterator[tuple[list[int], Bulk]]:
        """Bulk after bulk, made when it is asked for, with its commands' places among the outcomes."""
        while chunk := self._given.take(BULK_SIZE):
            ready: list[Submission] = []
            indexes: list[int] = []
            for command in chunk:
                try:
                    ready.append(self._make.of_command(command, self._options, self._options.get("metadata")))
                except OnewriterError as error:
                    self.outcomes.append(error)
                else:
                    indexes.append(len(self.outcomes))
                    self.outcomes.append(None)
            if ready:
                yield indexes, Bulk(ready)

    def received(self, indexes: list[int], outcomes: Iterable[CommandOutcome]) -> None:
        """Enter the outcomes of a bulk's commands."""
        for index, outcome in zip(indexes, outcomes, strict=True):
            self.outcomes[index] = receipt_or_error(outcome)

    def unknown(self, indexes: list[int], bulk: Bulk, timeout: float) -> None:
        """No reply to a bulk came in time."""
        self.received(indexes, [no_reply(one.command_id, timeout) for one in bulk.submissions])

    def late(self, indexes: list[int], bulk: Bulk, timeout: float) -> None:
        """The time was over before a bulk was handed over, so it was not."""
        self.received(indexes, [late(one.command_id, timeout) for one in bulk.submissions])


def in_bulks(many: ManyCommands, mailbox: Mailbox, end: float, timeout: float) -> None:
    """Hand over bulk after bulk, and collect their outcomes until `end`, a monotonic time.

    After it no bulk is handed over. With a `timeout` of zero nothing is waited for: those are handed over
    that there is room for.
    """
    under_way: list[tuple[list[int], Bulk]] = []
    for indexes, bulk in many.bulks():
        left = end - time.monotonic()
        if left <= 0 and timeout and not mailbox.full():
            many.late(indexes, bulk, timeout)
            continue
        under_way.append((indexes, bulk))
        if not mailbox.offer(bulk, left, of_caller=True):
            bulk.fail(overloaded(mailbox))
    for indexes, bulk in under_way:
        try:
            left = max(end - time.monotonic(), 0)
            many.received(indexes, bulk.future.result(left))  # type: ignore[union-attr]
        except TimeoutError:
            many.unknown(indexes, bulk, timeout)


async def ain_bulks(many: ManyCommands, mailbox: Mailbox, end: float, timeout: float) -> None:
    """As `in_bulks`, without holding up the event loop for more than one bulk, nor a thread."""
    under_way: deque[tuple[list[int], Bulk, AsyncReply]] = deque()

    async def receive(indexes: list[int], bulk: Bulk, reply: AsyncReply) -> None:
        try:
            many.received(indexes, await reply.waiter)
        except TimeoutError:
            if mailbox.withdraw(bulk):
                many.received(indexes, [overloaded(mailbox)] * len(indexes))
            else:
                many.unknown(indexes, bulk, timeout)
        finally:
            reply.over()

    try:
        for indexes, bulk in many.bulks():
            if timeout and time.monotonic() >= end and not mailbox.full():
                many.late(indexes, bulk, timeout)
                continue
            reply = bulk.future = AsyncReply(timeout, end)
            under_way.append((indexes, bulk, reply))
            if mailbox.enqueue_later(bulk):
                await asyncio.sleep(0)
            else:
                # While there is no room, no further bulks are made.
                await receive(*under_way[0])
                under_way.popleft()
        while under_way:
            await receive(*under_way[0])
            under_way.popleft()
    finally:
        for _, _, reply in under_way:
            reply.abandon()


def one_by_one(
    submit: Callable[[Any], tuple[Future[Receipt], CallAttempts]], given: CommandSource
) -> list[Receipt | Exception]:
    """Each command's receipt or error, in order; `submit` begins one, and says what its time is."""
    under_way: list[tuple[Future[Receipt], CallAttempts] | MiddlewareFailed] = []
    while commands := given.take(1):
        try:
            under_way.append(submit(commands[0]))
        except asyncio.CancelledError as error:  # No thread is cancelled: it is a middleware's own.
            under_way.append(_no_exception(error))
    return [one if isinstance(one, MiddlewareFailed) else _outcome(*one) for one in under_way]


def _no_exception(error: BaseException) -> MiddlewareFailed:
    """The outcome of a command whose middleware raised what ends a task or a thread.

    The other commands go on.
    """
    failed = MiddlewareFailed(
        f"the middleware of one of the commands raised {type(error).__name__}, which is no Exception, and "
        "the command may be "
        "written: raise an Exception to refuse one"
    )
    failed.__cause__ = error
    return failed


def _outcome(future: Future[Receipt], attempts: CallAttempts) -> Receipt | Exception:
    try:
        return future.result(max(attempts.end - time.monotonic(), 0))
    except TimeoutError as error:
        if not future.done():
            return no_reply(attempts.command_id, attempts.timeout)
        # It is a middleware's own, or the outcome came at this moment.
        return error if future.exception() is error else _outcome(future, attempts)
    except Exception as error:
        return error
    except (asyncio.CancelledError, SystemExit) as error:
        # In a thread of the pool. What a signal raises in this one ends the call.
        if not future.done() or future.exception() is not error:
            raise
        return _no_exception(error)


async def aone_by_one(
    aexecute: Callable[[Any], Awaitable[Receipt]], given: CommandSource
) -> list[Receipt | Exception]:
    """As `one_by_one`. A task that is cancelled leaves its commands in flight."""

    async def outcome(command: Any) -> Receipt | Exception:
        try:
            return await aexecute(command)
        except Exception as error:
            return error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return _no_exception(error)

    tasks = [asyncio.ensure_future(outcome(command)) for command in given.take()]
    if tasks:
        await asyncio.wait(tasks)
    return [task.result() for task in tasks]
