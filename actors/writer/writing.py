"""The callers' side of the write path: checks a command early, hands it over, waits for the reply.

Runs in callers' threads and event loops; nothing here touches the store.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from actors import middleware
from actors.definition.specs import CompiledDomain
from actors.errors import (
    CommandTimeout,
    Overloaded,
)
from actors.mailbox import Mailbox
from actors.messages import Bulk, Receipt, Submission, receipt_or_error
from actors.reply import Reply
from actors.worker import refuse_in_actor
from actors.writer.conflicts import resolving
from actors.writer.states import History
from actors.writer.steps import Outcomes, Step
from actors.writer.submissions import SubmissionMaker
from storage import OnewriterError
from storage.notes import Note

__all__ = ["BULK", "WriteGateway"]

TIMEOUT = 30.0
"""Seconds that a caller waits unless it says otherwise."""

BULK = 500
"""Commands of `execute_many` that travel in one message."""


class WriteGateway:
    """What `System` does for commands."""

    def __init__(
        self,
        domain: CompiledDomain,
        history: History,
        mailbox: Mailbox,
        executor: Callable[[], ThreadPoolExecutor],
        deciding: Callable[[], bool],
    ) -> None:
        """`deciding` tells whether a decider runs at this moment, in the writer's thread."""
        self._domain = domain
        self._history = history
        self.mailbox = mailbox
        self._executor = executor
        self._deciding = deciding
        self._make = SubmissionMaker(domain)

    # -- one command -------------------------------------------------------------------------
    def execute(self, command: Any, options: dict[str, Any]) -> Receipt:
        """Hand over and wait; `timeout` seconds bound the whole of it."""
        refuse_in_actor("execute")
        timeout = options.pop("timeout", TIMEOUT)
        end = time.monotonic() + timeout
        call, chain = self._call(command, options)
        if not chain:
            return self._wait(self._hand_over(call, end), end, timeout)
        outcome: Receipt = middleware.run(
            chain, call, lambda inner: self._wait(self._hand_over(inner, end), end, timeout)
        )
        return outcome

    def submit(self, command: Any, options: dict[str, Any]) -> Future[Receipt]:
        """Hand over, waiting up to `timeout` seconds for room in the mailbox; the future has the receipt."""
        if self._deciding():
            refuse_in_actor("submit")
        timeout = options.pop("timeout", TIMEOUT)
        end = time.monotonic() + timeout
        call, chain = self._call(command, options)
        if not chain:
            return self._future_of(self._hand_over(call, end))
        return middleware.submit(
            chain, call, lambda inner: self._future_of(self._hand_over(inner, end)), self._executor()
        )

    async def aexecute(self, command: Any, options: dict[str, Any]) -> Receipt:
        """As `execute`, without holding up the event loop."""
        refuse_in_actor("aexecute")
        timeout = options.pop("timeout", TIMEOUT)
        end = time.monotonic() + timeout
        call, chain = self._call(command, options)

        async def terminal(inner: middleware.Call) -> Receipt:
            submission = self._prepare(inner)
            if not self.mailbox.offer(submission, 0):
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(None, self._offer, submission, end)
            try:
                async with asyncio.timeout(max(end - time.monotonic(), 0)):
                    return await asyncio.wrap_future(self._future_of(submission))
            except TimeoutError:
                raise self._timed_out(submission.command_id, timeout) from None

        if not chain:
            return await terminal(call)
        outcome: Receipt = await middleware.arun(chain, call, terminal)
        return outcome

    def _call(self, command: Any, options: dict[str, Any]) -> tuple[middleware.Call, Sequence[Any]]:
        call = middleware.Call(command, options.pop("metadata", None) or {}, options, "command")
        chain: tuple[Any, ...] = self._domain.command_middleware
        on_conflict = options.pop("on_conflict", "raise")
        if on_conflict != "raise":
            chain = (*chain, resolving(on_conflict, self._history))
        return call, chain

    def _hand_over(self, call: middleware.Call, end: float) -> Submission:
        submission = self._prepare(call)
        self._offer(submission, end)
        return submission

    def _offer(self, request: Submission | Bulk | Step, end: float) -> None:
        if not self.mailbox.offer(request, end - time.monotonic()):
            raise Overloaded(
                f"the command handler's mailbox stayed full ({len(self.mailbox)} commands wait); nothing was done; "
                "try again later, give a longer timeout=, or open the system with a larger mailbox_size="
            )

    @staticmethod
    def _future_of(submission: Submission) -> Future[Receipt]:
        assert submission.future is not None
        return submission.future

    def _wait(self, submission: Submission, end: float, timeout: float) -> Receipt:
        try:
            return self._future_of(submission).result(max(end - time.monotonic(), 0))
        except TimeoutError:
            raise self._timed_out(submission.command_id, timeout) from None

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
        refuse_in_actor("execute_many")
        timeout = options.pop("timeout", TIMEOUT)
        end = time.monotonic() + timeout
        if self._domain.command_middleware:
            return self._many_one_by_one(commands, timeout, options)
        outcomes: list[Receipt | Exception] = []
        waiting: list[tuple[list[int], Bulk]] = []
        for chunk in _chunks(commands, BULK):
            ready: list[Submission] = []
            places: list[int] = []
            for command in chunk:
                try:
                    ready.append(self._make.of_command(command, options, options.get("metadata")))
                except OnewriterError as error:
                    outcomes.append(error)
                else:
                    places.append(len(outcomes))
                    outcomes.append(CommandTimeout(ready[-1].command_id))
            if ready:
                bulk = Bulk(ready)
                waiting.append((places, bulk))
                try:
                    self._offer(bulk, end)
                except Overloaded as error:
                    bulk.fail(error)
        for places, bulk in waiting:
            try:
                found = bulk.future.result(max(end - time.monotonic(), 0))
            except TimeoutError:
                continue  # Their places hold a CommandTimeout with the id.
            for place, outcome in zip(places, found, strict=True):
                outcomes[place] = receipt_or_error(outcome)
        return outcomes

    def _many_one_by_one(
        self, commands: Iterable[Any], timeout: float, options: dict[str, Any]
    ) -> list[Receipt | Exception]:
        """Middleware sees each command; they still share commits, since none waits for the one before."""
        futures: list[Future[Receipt] | OnewriterError] = []
        for command in commands:
            try:
                futures.append(self.submit(command, {**options, "timeout": timeout}))
            except OnewriterError as error:
                futures.append(error)
        outcomes: list[Receipt | Exception] = []
        for future in futures:
            if isinstance(future, OnewriterError):
                outcomes.append(future)
                continue
            try:
                outcomes.append(future.result(timeout))
            except TimeoutError:
                outcomes.append(CommandTimeout("", f"no reply within {timeout:g} s; the outcome is unknown"))
            except OnewriterError as error:
                outcomes.append(error)
        return outcomes

    # -- facts without a command -------------------------------------------------------------
    def append(self, stream: str, events: Sequence[Any], options: dict[str, Any]) -> Receipt:
        """Write events that come from outside, through the same queue and in the same order as commands."""
        refuse_in_actor("append")
        timeout = options.pop("timeout", TIMEOUT)
        end = time.monotonic() + timeout
        submission = self._make.of_facts(stream, events, options)
        self._offer(submission, end)
        return self._wait(submission, end, timeout)

    # -- steps -------------------------------------------------------------------------------
    def submission(self, command: Any, **options: Any) -> Submission:
        """A command for a step, checked; `options` are those of `execute`. Raises what is wrong with the command.

        Middleware does not see it: that is around a caller, and a step has none.
        """
        return self._make.of_command(command, options, options.get("metadata"))

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

    def _prepare(self, call: middleware.Call) -> Submission:
        submission = self._make.of_command(call.message, call.options, call.metadata)
        submission.future = Reply()
        return submission


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
