"""The callers' side of the write path: checks a command early, hands it over, waits for the reply.

Runs in callers' threads and event loops; nothing here touches the store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from actors.domain import middleware
from actors.domain.call_options import checked_call
from actors.domain.specs import CompiledDomain
from actors.errors import ActorsError, CommandTimeout
from actors.kernel.actor import refuse_in_actor
from actors.kernel.async_reply import AsyncReply
from actors.kernel.lazy_asyncio import asyncio
from actors.kernel.mailbox import Mailbox
from actors.kernel.running_calls import RunningCalls
from actors.receipt import Receipt
from actors.replication.progress import Progress
from actors.writer import submit_middleware as submitted
from actors.writer.aggregate_cache import History
from actors.writer.bulk_execution import (
    CommandSource,
    ManyCommands,
    ain_bulks,
    aone_by_one,
    in_bulks,
    one_by_one,
)
from actors.writer.call_attempts import CallAttempts
from actors.writer.call_errors import late, no_reply, overloaded
from actors.writer.conflict_retry import conflict_retry
from actors.writer.options import TIMEOUT, CommandOptions
from actors.writer.step_client import StepClient
from actors.writer.submission import ReceiptReply, Submission, receipt_or_error
from actors.writer.submission_factory import SubmissionFactory

__all__ = ["CommandClient"]


class CommandClient:
    """What `System` does for commands."""

    def __init__(
        self,
        domain: CompiledDomain,
        history: History,
        mailbox: Mailbox,
        pool: submitted.Pool,
        deciding: Callable[[], bool],
        calls: RunningCalls,
        progress: Progress,
    ) -> None:
        """`deciding()` says whether a decider runs now, in the writer's thread; `calls` shows middleware that
        runs.
        """
        self._progress = progress
        self._domain = domain
        self._history = history
        self.mailbox = mailbox
        self._pool = pool
        self._deciding = deciding
        self._calls = calls
        self._make = SubmissionFactory(domain, domain.guards)
        self.steps = StepClient(mailbox, self._make)
        """For those who hand over steps."""

    # -- one command -------------------------------------------------------------------------
    def execute(self, command: Any, options: dict[str, Any]) -> Receipt:
        """Hand over and wait; `timeout` seconds bound the whole of it."""
        refuse_in_actor("execute", self._progress)
        timeout = options.pop("timeout", TIMEOUT)
        end = time.monotonic() + timeout
        if self._goes_straight(options):
            return self._wait(self._hand_over(command, options, end, timeout, timeout > 0), end, timeout)
        call, chain, attempts = self._call(command, options, end, timeout)
        outcome: Receipt = middleware.run(
            chain, call, lambda inner: self._wait(self._attempt(inner, attempts), end, timeout), self._calls
        )
        return outcome

    def submit(self, command: Any, options: dict[str, Any]) -> Future[Receipt]:
        """Hand over, waiting up to `timeout` seconds for room in the mailbox; the future has the receipt."""
        if self._deciding():
            refuse_in_actor("submit", self._progress)
        timeout = options.pop("timeout", TIMEOUT)
        end = time.monotonic() + timeout
        if self._goes_straight(options):
            return self._hand_over(command, options, end, timeout, False).future  # type: ignore[return-value]
        return self._submitted(command, options, end, timeout, waited_for=False)[0]

    def _submitted(
        self, command: Any, options: dict[str, Any], end: float, timeout: float, waited_for: bool
    ) -> tuple[Future[Receipt], CallAttempts]:
        call, chain, attempts = self._call(command, options, end, timeout, waited_for)

        def terminal(inner: middleware.Call) -> Future[Receipt]:
            return self._attempt(inner, attempts).future  # type: ignore[return-value]

        return submitted.submit(chain, call, terminal, self._pool, self._calls), attempts

    def aexecute(self, command: Any, options: dict[str, Any]) -> Coroutine[Any, Any, Receipt]:
        """As `execute`, to be awaited: holds up neither the event loop nor a thread."""
        refuse_in_actor("aexecute", self._progress)
        timeout = options.pop("timeout", TIMEOUT)
        end = time.monotonic() + timeout
        if self._goes_straight(options):
            return self._awaited(command, options, options.get("metadata"), end, timeout)
        return self._athrough_middleware(command, options, end, timeout)

    async def _athrough_middleware(
        self, command: Any, options: dict[str, Any], end: float, timeout: float
    ) -> Receipt:
        call, chain, attempts = self._call(command, options, end, timeout)

        def terminal(inner: middleware.Call) -> Coroutine[Any, Any, Receipt]:
            checked_call(inner, CommandOptions, "execute")
            return self._awaited(
                inner.message, inner.options, inner.metadata, end, timeout, inner.sent, attempts
            )

        outcome: Receipt = await middleware.arun(chain, call, terminal, self._calls)
        return outcome

    async def _awaited(
        self,
        command: Any,
        options: dict[str, Any],
        metadata: dict[str, Any] | None,
        end: float,
        timeout: float,
        sent: Any = None,
        attempts: CallAttempts | None = None,
    ) -> Receipt:
        submission = self._make.of_command(command, options, metadata, sent, attempts)
        if (timeout > 0 if attempts is None else attempts.strict) and time.monotonic() >= end:
            raise self._late(submission, timeout, 1 if attempts is None else attempts.number)
        reply = submission.future = AsyncReply(timeout, end)
        entered = self.mailbox.enqueue_later(submission)
        try:
            return receipt_or_error(await reply.waiter)  # type: ignore[return-value]
        except asyncio.CancelledError:
            if not entered:
                self.mailbox.withdraw(submission)
            raise
        except TimeoutError:
            if not entered and self.mailbox.withdraw(submission):
                raise overloaded(self.mailbox) from None
            raise no_reply(submission.command_id, timeout) from None
        finally:
            reply.over()

    def _goes_straight(self, options: dict[str, Any]) -> bool:
        """Whether no middleware and no conflict handling surround the call."""
        return not self._domain.command_middleware and "on_conflict" not in options

    def _call(
        self, command: Any, options: dict[str, Any], end: float, timeout: float, waited_for: bool = True
    ) -> tuple[middleware.Call, Sequence[Any], CallAttempts]:
        chain: tuple[Any, ...] = self._domain.command_middleware
        command_id = options.get("command_id")
        made = command_id is None
        if made:
            command_id = options["command_id"] = self._make.new_id()
        # What a middleware has seen it may have used.
        attempts = CallAttempts(command_id, made and not chain, end, timeout, waited_for)
        on_conflict = options.pop("on_conflict", "raise")
        metadata = options.pop("metadata", None) or {}
        if on_conflict != "raise":
            chain = (*chain, conflict_retry(on_conflict, self._history))
        return middleware.Call(command, metadata, options, "command", not made), chain, attempts

    def _attempt(self, call: middleware.Call, attempts: CallAttempts) -> Submission:
        """Hand over what the call is now. Raises what is wrong with it."""
        checked_call(call, CommandOptions, "execute")
        submission = self._make.of_command(call.message, call.options, call.metadata, call.sent, attempts)
        submission.future = ReceiptReply()
        self._offer(submission, attempts.end, attempts.timeout, attempts.strict, attempts.number)
        return submission

    def _hand_over(
        self, command: Any, options: dict[str, Any], end: float, timeout: float, strict: bool
    ) -> Submission:
        submission = self._make.of_command(command, options, options.get("metadata"))
        submission.future = ReceiptReply()
        self._offer(submission, end, timeout, strict)
        return submission

    def _offer(
        self, submission: Submission, end: float, timeout: float, strict: bool, number: int = 1
    ) -> None:
        """Hand over once there is room, waiting for it until `end`; if `strict`, not after that time."""
        left = end - time.monotonic()
        if left <= 0 and strict:
            raise self._late(submission, timeout, number)
        if not self.mailbox.offer(submission, left, of_caller=True):
            raise overloaded(self.mailbox)

    def _late(self, submission: Submission, timeout: float, number: int = 1) -> ActorsError:
        """The error of what is not handed over, as the time of its call is over."""
        if number == 1 and self.mailbox.full():
            return overloaded(self.mailbox)
        return late(submission.command_id, timeout, number)

    @staticmethod
    def _wait(submission: Submission, end: float, timeout: float) -> Receipt:
        future, command_id = submission.future, submission.command_id
        del submission  # It leads to the error that is raised here, whose traceback would lead back to it.
        try:
            return future.result(max(end - time.monotonic(), 0))  # type: ignore[union-attr,no-any-return]
        except TimeoutError:
            raise no_reply(command_id, timeout) from None
        finally:
            del future

    # -- many --------------------------------------------------------------------------------
    def execute_many(self, commands: Iterable[Any], options: dict[str, Any]) -> list[Receipt | Exception]:
        """Each command's receipt or error, in order; commands of one chunk travel and commit together.

        Raises what `commands` raise, with the outcomes of those that they gave, once these are there.
        """
        refuse_in_actor("execute_many", self._progress)
        timeout = options.pop("timeout", TIMEOUT)
        end = time.monotonic() + timeout
        given = CommandSource(commands)
        if self._domain.command_middleware:
            outcomes = one_by_one(lambda one: self._one_of_many(one, dict(options), end, timeout), given)
            return given.done(outcomes)
        many = ManyCommands(self._make, given, options)
        in_bulks(many, self.mailbox, end, timeout)
        return given.done(many.outcomes)

    async def aexecute_many(
        self, commands: Iterable[Any], options: dict[str, Any]
    ) -> list[Receipt | Exception]:
        """As `execute_many`, without holding up the event loop for more than one chunk, nor a thread."""
        refuse_in_actor("aexecute_many", self._progress)
        timeout = options.pop("timeout", TIMEOUT)
        end = time.monotonic() + timeout
        given = CommandSource(commands)
        # Now, as what others do in the loop meanwhile may change what it is taken from.
        taken = CommandSource(given.take())
        if self._domain.command_middleware:
            outcomes = await aone_by_one(
                lambda one: self._aone_of_many(one, dict(options), end, timeout), taken
            )
            return given.done(outcomes)
        many = ManyCommands(self._make, taken, options)
        await ain_bulks(many, self.mailbox, end, timeout)
        return given.done(many.outcomes)

    def _one_of_many(
        self, command: Any, options: dict[str, Any], end: float, timeout: float
    ) -> tuple[Future[Receipt], CallAttempts]:
        """As `_submitted`; after the end of the time of all no middleware begins."""
        error = self._too_late(end, timeout)
        if error is None:
            return self._submitted(command, options, end, timeout, waited_for=True)
        future: Future[Receipt] = Future()
        future.set_exception(error)
        return future, CallAttempts(error.command_id, True, end, timeout)

    async def _aone_of_many(
        self, command: Any, options: dict[str, Any], end: float, timeout: float
    ) -> Receipt:
        error = self._too_late(end, timeout)
        if error is not None:
            raise error
        return await self._athrough_middleware(command, options, end, timeout)

    def _too_late(self, end: float, timeout: float) -> CommandTimeout | None:
        return late(self._make.new_id(), timeout) if timeout > 0 and time.monotonic() >= end else None

    # -- facts without a command -------------------------------------------------------------
    def append(self, stream: str, events: Sequence[Any], options: dict[str, Any]) -> Receipt:
        """Write events that come from outside, through the same queue and in the same order as commands."""
        refuse_in_actor("append", self._progress)
        timeout = options.pop("timeout", TIMEOUT)
        end = time.monotonic() + timeout
        submission = self._make.of_facts(stream, events, options)
        self._offer(submission, end, timeout, timeout > 0)
        return self._wait(submission, end, timeout)

    def append_each(self, facts: Iterable[tuple[str, Sequence[Any]]], timeout: float) -> list[Receipt]:
        """As `append` to several streams, one by one, within about `timeout` seconds for all of them."""
        refuse_in_actor("append", self._progress)
        end = time.monotonic() + timeout
        submissions = [self._make.of_facts(stream, events, {}, asked=False) for stream, events in facts]
        for one in submissions:
            # Past what holds callers back while replicas are behind: these are an operator's.
            if not self.mailbox.offer(one, end - time.monotonic()):
                raise overloaded(self.mailbox)
        return [self._wait(one, end, timeout) for one in submissions]
