"""The callers' side of the write path: checks a command early, hands it over, waits for the reply.

Runs in callers' threads and event loops; nothing here touches the store.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from actors import middleware
from actors.aio import LoopReply
from actors.definition.specs import CompiledDomain
from actors.errors import (
    CommandTimeout,
    Overloaded,
)
from actors.mailbox import Mailbox
from actors.messages import Bulk, Receipt, Submission, receipt_or_error
from actors.replicas.progress import Progress
from actors.reply import Reply
from actors.running import Calls
from actors.worker import refuse_in_actor
from actors.writer.conflicts import resolving
from actors.writer.many import ManyCommands, aone_by_one, one_by_one
from actors.writer.states import History
from actors.writer.steps import Outcomes, Step
from actors.writer.submissions import SubmissionMaker
from storage.notes import Note

__all__ = ["WriteGateway"]

TIMEOUT = 30.0
"""Seconds that a caller waits unless it says otherwise."""


class WriteGateway:
    """What `System` does for commands."""

    def __init__(
        self,
        domain: CompiledDomain,
        history: History,
        mailbox: Mailbox,
        executor: Callable[[], ThreadPoolExecutor],
        deciding: Callable[[], bool],
        calls: Calls,
        progress: Progress,
    ) -> None:
        """`deciding` tells whether a decider runs at this moment, in the writer's thread; `calls` shows middleware that runs."""
        self._progress = progress
        self._domain = domain
        self._history = history
        self.mailbox = mailbox
        self._executor = executor
        self._deciding = deciding
        self._calls = calls
        self._make = SubmissionMaker(domain)

    # -- one command -------------------------------------------------------------------------
    def execute(self, command: Any, options: dict[str, Any]) -> Receipt:
        """Hand over and wait; `timeout` seconds bound the whole of it."""
        refuse_in_actor("execute", self._progress)
        timeout = options.pop("timeout", TIMEOUT)
        end = time.monotonic() + timeout
        if self._goes_straight(options):
            return self._wait(self._hand_over(command, options, options.get("metadata"), end), end, timeout)
        call, chain = self._call(command, options)
        outcome: Receipt = middleware.run(
            chain, call, lambda inner: self._wait(self._hand_over_call(inner, end), end, timeout), self._calls
        )
        return outcome

    def submit(self, command: Any, options: dict[str, Any]) -> Future[Receipt]:
        """Hand over, waiting up to `timeout` seconds for room in the mailbox; the future has the receipt."""
        if self._deciding():
            refuse_in_actor("submit", self._progress)
        timeout = options.pop("timeout", TIMEOUT)
        end = time.monotonic() + timeout
        if self._goes_straight(options):
            return self._future_of(self._hand_over(command, options, options.get("metadata"), end))
        call, chain = self._call(command, options)
        if not chain:
            return self._future_of(self._hand_over_call(call, end))
        return middleware.submit(
            chain,
            call,
            lambda inner: self._future_of(self._hand_over_call(inner, end)),
            self._executor(),
            self._calls,
        )

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
        call, chain = self._call(command, options)
        outcome: Receipt = await middleware.arun(
            chain,
            call,
            lambda inner: self._awaited(inner.message, inner.options, inner.metadata, end, timeout),
            self._calls,
        )
        return outcome

    async def _awaited(
        self,
        command: Any,
        options: dict[str, Any],
        metadata: dict[str, Any] | None,
        end: float,
        timeout: float,
    ) -> Receipt:
        submission = self._make.of_command(command, options, metadata)
        reply = submission.future = LoopReply(timeout, end)
        entered = self.mailbox.line_up(submission)
        try:
            return receipt_or_error(await reply.waiter)  # type: ignore[return-value]
        except asyncio.CancelledError:
            if not entered:
                self.mailbox.withdraw(submission)
            raise
        except TimeoutError:
            if not entered and self.mailbox.withdraw(submission):
                raise self._overloaded() from None
            raise self._timed_out(submission.command_id, timeout) from None
        finally:
            reply.over()

    def _goes_straight(self, options: dict[str, Any]) -> bool:
        """Whether nothing stands around the call, so that it need not be made one for middleware."""
        return not self._domain.command_middleware and "on_conflict" not in options

    def _call(self, command: Any, options: dict[str, Any]) -> tuple[middleware.Call, Sequence[Any]]:
        call = middleware.Call(command, options.pop("metadata", None) or {}, options, "command")
        chain: tuple[Any, ...] = self._domain.command_middleware
        on_conflict = options.pop("on_conflict", "raise")
        if on_conflict != "raise":
            chain = (*chain, resolving(on_conflict, self._history))
        return call, chain

    def _hand_over(
        self, command: Any, options: dict[str, Any], metadata: dict[str, Any] | None, end: float
    ) -> Submission:
        submission = self._make.of_command(command, options, metadata)
        submission.future = Reply()
        self._offer(submission, end)
        return submission

    def _hand_over_call(self, call: middleware.Call, end: float) -> Submission:
        return self._hand_over(call.message, call.options, call.metadata, end)

    def _offer(self, request: Submission | Bulk | Step, end: float) -> None:
        if not self.mailbox.offer(request, end - time.monotonic()):
            raise self._overloaded()

    def _overloaded(self) -> Overloaded:
        return Overloaded(
            f"the command handler's mailbox stayed full ({len(self.mailbox)} commands wait); nothing was done; "
            "try again later, give a longer timeout=, or open the system with a larger mailbox_size="
        )

    @staticmethod
    def _future_of(submission: Submission) -> Future[Receipt]:
        return submission.future  # type: ignore[return-value]

    def _wait(self, submission: Submission, end: float, timeout: float) -> Receipt:
        future, command_id = self._future_of(submission), submission.command_id
        del submission  # it leads to the error that is raised here, whose traceback would lead to it
        try:
            return future.result(max(end - time.monotonic(), 0))
        except TimeoutError:
            raise self._timed_out(command_id, timeout) from None
        finally:
            del future

    @staticmethod
    def _timed_out(command_id: str, timeout: float) -> CommandTimeout:
        return CommandTimeout(
            command_id,
            f"no reply to command {command_id!r} within {timeout:g} s; it may or may not be on disk: "
            "execute it again with this command_id to find out",
        )

    # -- many --------------------------------------------------------------------------------
    def execute_many(self, commands: Iterable[Any], options: dict[str, Any]) -> list[Receipt | Exception]:
        """Each command's receipt or error, in order; commands of one chunk travel and commit together."""
        refuse_in_actor("execute_many", self._progress)
        timeout = options.pop("timeout", TIMEOUT)
        end = time.monotonic() + timeout
        if self._domain.command_middleware:
            return one_by_one(self.submit, commands, {**options, "timeout": timeout})
        many = ManyCommands(self._make, commands, options)
        under_way: list[tuple[list[int], Bulk]] = []
        for places, bulk in many.bulks():
            under_way.append((places, bulk))
            try:
                self._offer(bulk, end)
            except Overloaded as error:
                bulk.fail(error)
        for places, bulk in under_way:
            try:
                many.received(places, bulk.future.result(max(end - time.monotonic(), 0)))  # type: ignore[union-attr]
            except TimeoutError:
                many.unknown(places, bulk)
        return many.outcomes

    async def aexecute_many(
        self, commands: Iterable[Any], options: dict[str, Any]
    ) -> list[Receipt | Exception]:
        """As `execute_many`, without holding up the event loop for more than one chunk, nor a thread."""
        refuse_in_actor("aexecute_many", self._progress)
        timeout = options.pop("timeout", TIMEOUT)
        end = time.monotonic() + timeout
        if self._domain.command_middleware:
            return await aone_by_one(self.aexecute, commands, {**options, "timeout": timeout})
        many = ManyCommands(self._make, commands, options)
        under_way: deque[tuple[list[int], Bulk, LoopReply]] = deque()
        try:
            for places, bulk in many.bulks():
                reply = bulk.future = LoopReply(timeout, end)
                under_way.append((places, bulk, reply))
                if self.mailbox.line_up(bulk):
                    await asyncio.sleep(0)
                else:
                    # Where there is no room, no more are made than go out.
                    await self._receive(many, *under_way[0])
                    under_way.popleft()
            while under_way:
                await self._receive(many, *under_way[0])
                under_way.popleft()
        finally:
            for _, _, reply in under_way:
                reply.abandon()
        return many.outcomes

    async def _receive(self, many: ManyCommands, places: list[int], bulk: Bulk, reply: LoopReply) -> None:
        try:
            many.received(places, await reply.waiter)
        except TimeoutError:
            if self.mailbox.withdraw(bulk):
                many.received(places, [self._overloaded()] * len(places))
            else:
                many.unknown(places, bulk)
        finally:
            reply.over()

    # -- facts without a command -------------------------------------------------------------
    def append(self, stream: str, events: Sequence[Any], options: dict[str, Any]) -> Receipt:
        """Write events that come from outside, through the same queue and in the same order as commands."""
        refuse_in_actor("append", self._progress)
        timeout = options.pop("timeout", TIMEOUT)
        end = time.monotonic() + timeout
        submission = self._make.of_facts(stream, events, options)
        self._offer(submission, end)
        return self._wait(submission, end, timeout)

    # -- steps -------------------------------------------------------------------------------
    def submission(self, command: Any, **options: Any) -> Submission:
        """A process manager's command for a step, checked; `options` are those of `execute`. Raises what is wrong with it.

        Middleware does not see it: that is around a caller, and a step has none.
        """
        return self._make.of_command(command, options, options.get("metadata"), of_manager=True)

    def step(
        self,
        submissions: Sequence[Submission],
        notes: Callable[[Outcomes], Iterable[Note]],
        guard: tuple[bytes, bytes | None] | None = None,
        timeout: float = TIMEOUT,
    ) -> Future[Outcomes]:
        """Hand over a step, waiting up to `timeout` seconds for room; the future has its commands' outcomes.

        `Step` says what the arguments are. Any thread but the writer's. Raises `Overloaded`.
        """
        step = Step(submissions, notes, guard)
        self._offer(step, time.monotonic() + timeout)
        return step.future

    def put_step(
        self, notes: Callable[[Outcomes], Iterable[Note]], guard: tuple[bytes, bytes | None] | None = None
    ) -> Future[Outcomes]:
        """Hand over a step without commands, past the mailbox's bound, which is for callers: they can wait. Any thread."""
        step = Step([], notes, guard)
        self.mailbox.put(step)
        return step.future
