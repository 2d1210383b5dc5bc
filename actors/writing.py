"""The callers' side of the write path: checks a command early, hands it over, waits for the reply.

Runs in callers' threads and event loops; nothing here touches the store.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

from actors import middleware
from actors._compile import CompiledDomain
from actors.errors import (
    ActorsError,
    CommandTimeout,
    ConcurrencyConflict,
    InvalidMessage,
    Overloaded,
    UnknownMessage,
)
from actors.mailbox import Mailbox
from actors.messages import Bulk, Receipt, Submission
from actors.reply import Reply
from actors.states import History
from storage import OnewriterError

__all__ = ["BULK", "OnConflict", "WriteGateway"]

OnConflict = str | int | Callable[[ConcurrencyConflict], Any]

BULK = 500
"""Commands of `execute_many` that travel in one message."""

MAX_ID_BYTES = 200


class WriteGateway:
    """What `System` does for commands."""

    def __init__(
        self,
        domain: CompiledDomain,
        history: History,
        mailbox: Mailbox,
        executor: Callable[[], ThreadPoolExecutor],
    ) -> None:
        self._domain = domain
        self._history = history
        self.mailbox = mailbox
        self._executor = executor
        # Ids of our own making ascend, so that they are appended to the index of ids, not scattered over it.
        self._id_prefix = f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(4)}"
        self._id_number = itertools.count(1)

    # -- one command -------------------------------------------------------------------------
    def execute(self, command: Any, timeout: float, options: dict[str, Any]) -> Receipt:
        """Hand over and wait; `timeout` seconds bound the whole of it."""
        end = time.monotonic() + timeout
        call, chain = self._call(command, options)
        if not chain:
            return self._wait(self._hand_over(call, end), end, timeout)
        outcome: Receipt = middleware.run(
            chain, call, lambda inner: self._wait(self._hand_over(inner, end), end, timeout)
        )
        return outcome

    def submit(self, command: Any, timeout: float, options: dict[str, Any]) -> Future[Receipt]:
        """Hand over, waiting up to `timeout` seconds for room in the mailbox; the future has the receipt."""
        end = time.monotonic() + timeout
        call, chain = self._call(command, options)
        if not chain:
            return self._future_of(self._hand_over(call, end))
        return middleware.submit(
            chain, call, lambda inner: self._future_of(self._hand_over(inner, end)), self._executor()
        )

    async def aexecute(self, command: Any, timeout: float, options: dict[str, Any]) -> Receipt:
        """As `execute`, without holding up the event loop."""
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
            chain = (*chain, self._resolving(on_conflict))
        return call, chain

    def _hand_over(self, call: middleware.Call, end: float) -> Submission:
        submission = self._prepare(call)
        self._offer(submission, end)
        return submission

    def _offer(self, request: Submission | Bulk, end: float) -> None:
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
    def execute_many(
        self, commands: Iterable[Any], timeout: float, options: dict[str, Any]
    ) -> list[Receipt | Exception]:
        """Each command's receipt or error, in order; commands of one chunk travel and commit together."""
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
                    metadata = options.get("metadata") or {}
                    ready.append(
                        self._prepare(middleware.Call(command, metadata, options, "command"), bulk=True)
                    )
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
                outcomes[place] = outcome
        return outcomes

    def _many_one_by_one(
        self, commands: Iterable[Any], timeout: float, options: dict[str, Any]
    ) -> list[Receipt | Exception]:
        """Middleware sees each command; they still share commits, since none waits for the one before."""
        futures: list[Future[Receipt] | OnewriterError] = []
        for command in commands:
            try:
                futures.append(self.submit(command, timeout, dict(options)))
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
    def append(self, stream: str, events: Sequence[Any], timeout: float, options: dict[str, Any]) -> Receipt:
        """Write events that come from outside, through the same queue and in the same order as commands."""
        end = time.monotonic() + timeout
        if not isinstance(stream, str) or not stream:
            raise InvalidMessage(f"append() takes the name of a stream, got {stream!r}")
        events = list(events) if isinstance(events, Iterable) else [events]
        for event in events:
            spec = self._domain.events.get(type(event))
            if spec is None:
                raise self._unknown(event, "event", self._domain.events)
            spec.check(event)
        if not events:
            raise InvalidMessage(f"append() to {stream!r} was given no events")
        payload = self._domain.codec.encode(events)
        submission = self._submission(None, None, stream, payload, options, options.get("metadata"))
        submission.events = events
        submission.future = Reply()
        self._offer(submission, end)
        return self._wait(submission, end, timeout)

    # -- making a submission -----------------------------------------------------------------
    def _prepare(self, call: middleware.Call, bulk: bool = False) -> Submission:
        command = call.message
        spec = self._domain.commands.get(type(command))
        if spec is None:
            raise self._unknown(command, "command", self._domain.commands)
        spec.check(command)
        if spec.validate is not None:
            try:
                spec.validate(command)
            except ActorsError:
                raise
            except Exception as error:
                raise InvalidMessage(
                    f"{spec.name}.validate failed with {type(error).__name__}: {error}"
                ) from error
        payload = self._domain.codec.encode(command)
        submission = self._submission(
            command, spec, spec.stream_of(command), payload, call.options, call.metadata
        )
        if not bulk:
            submission.future = Reply()
        return submission

    def _submission(
        self, command: Any, spec: Any, stream: str, payload: bytes, options: dict[str, Any], metadata: Any
    ) -> Submission:
        given = options.get("command_id")
        command_id = f"{self._id_prefix}{next(self._id_number):012x}" if given is None else _checked_id(given)
        digest = blake2b(payload, digest_size=12).digest()
        submission = Submission(command, spec, stream, command_id, digest, given is None)
        if options:
            submission.expected_version = options.get("expected_version")
            submission.causation_id = options.get("causation_id")
            submission.correlation_id = options.get("correlation_id")
            deadline = options.get("deadline")
            if deadline is not None:
                submission.deadline = _monotonic_deadline(deadline)
        submission.metadata = metadata or None
        return submission

    def _unknown(self, message: Any, kind: str, known: Iterable[type]) -> UnknownMessage:
        names = ", ".join(sorted(cls.__name__ for cls in known)) or "none"
        return UnknownMessage(
            f"{type(message).__name__} is not a {kind} of domain {self._domain.name!r}; it knows: {names}"
        )

    def _resolving(self, on_conflict: OnConflict) -> Callable[[middleware.Call], Iterator[Any]]:
        """The innermost middleware: what happens on `ConcurrencyConflict`."""
        if not callable(on_conflict) and (isinstance(on_conflict, bool) or not isinstance(on_conflict, int)):
            raise ValueError(
                f"on_conflict= is 'raise', a number of retries, or a function, not {on_conflict!r}"
            )

        def resolve(call: middleware.Call) -> Any:
            left = on_conflict if isinstance(on_conflict, int) else 0
            while True:
                try:
                    return (yield)
                except ConcurrencyConflict as conflict:
                    if callable(on_conflict):
                        conflict.command = call.message
                        conflict.events = [
                            one.event for one in self._history.read_stream(conflict.stream, conflict.expected)
                        ]
                        merged = on_conflict(conflict)
                        if merged is None:
                            raise
                        call.message = merged
                    elif left > 0:
                        left -= 1
                    else:
                        raise
                    call.options["expected_version"] = conflict.actual

        return resolve


def _checked_id(given: Any) -> str:
    command_id = str(given) if isinstance(given, UUID) else given
    if not isinstance(command_id, str) or not command_id or "\0" in command_id:
        raise InvalidMessage(f"command_id= is a text without NUL, or a UUID, not {given!r}")
    if len(command_id.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        raise InvalidMessage(f"command_id= is longer than {MAX_ID_BYTES} bytes: {command_id[:40]!r}...")
    return command_id


def _monotonic_deadline(deadline: float | datetime) -> float:
    if isinstance(deadline, datetime):
        if deadline.tzinfo is None:
            raise ValueError("deadline= needs a datetime with a time zone, or seconds from now")
        return time.monotonic() + deadline.timestamp() - time.time()
    return time.monotonic() + deadline


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
