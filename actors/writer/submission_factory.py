"""Making a submission out of a command or of facts: checked, named and digested in the caller's thread."""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from uuid import UUID

from actors.domain.access import NOTHING, Access, Guards
from actors.domain.lookup import unknown
from actors.domain.reserved_ids import refuse_reserved
from actors.domain.specs import CommandSpec, CompiledDomain, check_message
from actors.errors import InvalidMessage
from actors.timeouts import MOST_SECONDS
from actors.writer.submission import ReceiptReply, Submission
from storage import CodecError
from storage.codec.canonical import DIGEST_BYTES
from storage.limits import MAX_NAME_BYTES
from storage.value_text import short_repr

if TYPE_CHECKING:
    from actors.writer.call_attempts import CallAttempts

__all__ = ["SubmissionFactory"]


class SubmissionFactory:
    """Early checks, so that what can't work never reaches the writer. Any thread."""

    def __init__(self, domain: CompiledDomain, guards: Guards | None = None) -> None:
        """`guards` are asked about the commands and facts of callers."""
        self._domain = domain
        self._guards = guards or None
        # Ids of our own making ascend, so that they are appended to the index of ids, not scattered over it.
        self._id_prefix = f"{time.time_ns() // 1_000_000:012x}{os.urandom(4).hex()}"
        self._id_number = itertools.count(1)

    def new_id(self) -> str:
        """A new, unique id."""
        return f"{self._id_prefix}{next(self._id_number):012x}"

    def of_command(
        self,
        command: Any,
        options: dict[str, Any],
        metadata: dict[str, Any] | None,
        sent: Any = None,
        attempts: CallAttempts | None = None,
        *,
        of_manager: bool = False,
    ) -> Submission:
        """A command's submission, without a future. Raises what `System.execute` does for bad input.

        `sent` is what its id stands for, if that is another command; `attempts` are those of its call.
        `of_manager`: it comes from a process manager, with an id that a caller may not give.
        """
        spec = self._domain.commands.get(type(command))
        if spec is None:
            raise unknown(command, "command", self._domain)
        if self._guards is not None and not of_manager:
            self._guards.check(Access("command", command, (type(command),), metadata=metadata or NOTHING))
        check_message(spec, command)
        if sent is not None:
            sent = self._domain.codec.own(sent)
        if spec.shareable is not None and not spec.shareable(command):
            # From here on the caller may do with the lists in it what it likes.
            command = self._domain.codec.own(command)
        if sent is None:
            sent = command
        try:
            canonical = self._domain.canonical.encode(sent)
        except CodecError:
            self._domain.codec.pack(sent)  # The canonical form is another value: this one knows the path.
            raise
        stream = spec.stream_of(command)
        return self._submission(
            command, spec, stream, sent, canonical, options, metadata, attempts, of_manager
        )

    def of_facts(
        self, stream: str, events: Iterable[Any], options: dict[str, Any], *, asked: bool = True
    ) -> Submission:
        """The submission of events without a command, with its future; unless `asked`, no guard is."""
        if not isinstance(stream, str) or not stream:
            raise InvalidMessage(f"append() takes the name of a stream, got {short_repr(stream)}")
        given = list(events) if isinstance(events, list | tuple) else [events]
        if self._guards is not None and asked:
            metadata = options.get("metadata") or NOTHING
            types = tuple(dict.fromkeys(map(type, given)))
            self._guards.check(Access("append", None, types, stream=stream, metadata=metadata))
        for event in given:
            spec = self._domain.events.get(type(event))
            if spec is None:
                raise unknown(event, "event", self._domain)
            spec.check(event)
        if not given:
            raise InvalidMessage(f"append() to {short_repr(stream)} was given no events")
        given = list(map(self._domain.codec.own, given))
        codec = self._domain.canonical
        sent = [stream, *given]
        try:
            canonical = codec.pack(sent)
        except CodecError:
            for event in given:
                self._domain.codec.pack(event)
            raise
        if len(canonical) > codec.max_bytes:
            raise codec.too_large(f"what is to be appended to stream {short_repr(stream)}", len(canonical))
        submission = self._submission(None, None, stream, sent, canonical, options, options.get("metadata"))
        submission.events = given
        submission.future = ReceiptReply()
        return submission

    def _submission(
        self,
        command: Any,
        spec: CommandSpec | None,
        stream: str,
        sent: Any,
        canonical: bytes,
        options: dict[str, Any],
        metadata: dict[str, Any] | None,
        attempts: CallAttempts | None = None,
        of_manager: bool = False,
    ) -> Submission:
        given: Any = options.get("command_id")
        fresh = given is None
        if attempts is not None:
            given, fresh = attempts.identity(given)
        elif fresh:
            given = f"{self._id_prefix}{next(self._id_number):012x}"
        if not fresh:
            given = _checked_id(given)
            if not of_manager:
                refuse_reserved(given, self._domain.reserved)
        command_id: str = given
        if attempts is not None:
            attempts.command_id = command_id
        # As `storage.codec.canonical.digest_of`, without a call for each command.
        digest = blake2b(canonical, digest_size=DIGEST_BYTES).digest()
        submission = Submission(command, spec, stream, command_id, digest, fresh)
        if not fresh:
            submission.sent = sent
        # Those of a call have its id at least.
        if options and (attempts is None or len(options) > 1 or "command_id" not in options):
            submission.expected_version = _checked_version(options.get("expected_version"))
            submission.causation_id = self._own(options.get("causation_id"))
            submission.correlation_id = self._own(options.get("correlation_id"))
            deadline = options.get("deadline")
            if deadline is not None:
                began = time.monotonic() if attempts is None else attempts.began
                submission.deadline = _monotonic_deadline(deadline, began)
        if metadata:
            submission.metadata = self._own(metadata)
        return submission

    def _own(self, value: Any) -> Any:
        """The value, safe from later changes by the caller. One that can't be stored is refused with its
        event.
        """
        with suppress(CodecError):
            return self._domain.codec.own(value)
        return value


def _checked_version(expected: Any) -> int | None:
    if expected is not None and (isinstance(expected, bool) or not isinstance(expected, int) or expected < 0):
        raise InvalidMessage(
            f"expected_version= is a version from 0 (a new stream) on, not {short_repr(expected)}"
        )
    return expected


def _checked_id(given: Any) -> str:
    command_id = str(given) if isinstance(given, UUID) else given
    if not isinstance(command_id, str) or not command_id or "\0" in command_id:
        raise InvalidMessage(f"command_id= is a text without NUL, or a UUID, not {short_repr(given)}")
    if len(command_id.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        raise InvalidMessage(f"command_id= is longer than {MAX_NAME_BYTES} bytes: {command_id[:40]!r}...")
    return command_id


def _monotonic_deadline(deadline: float | datetime, began: float) -> float:
    """The monotonic time of a deadline; seconds count from when the call `began`."""
    if isinstance(deadline, datetime):
        if deadline.tzinfo is None:
            raise InvalidMessage("deadline= needs a datetime with a time zone, or seconds from now")
        return time.monotonic() + deadline.timestamp() - time.time()
    if isinstance(deadline, int) and abs(deadline) > MOST_SECONDS:
        deadline = math.inf if deadline > 0 else -math.inf  # It may be more than a float holds.
    if isinstance(deadline, bool) or not isinstance(deadline, int | float) or math.isnan(deadline):
        raise InvalidMessage(
            f"deadline= is seconds from now, or a datetime with a time zone, not {short_repr(deadline)}"
        )
    return began + deadline
