"""Deciding a batch of commands: pure but for reading the log; knows no thread and writes nothing.

Everything that a batch changes (states, versions, ids, positions) lives in an `Overlay` until
its commit, and is dropped with it when the commit fails.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from actors.domain.specs import CompiledDomain, StateSpec
from actors.errors import (
    CommandIdReused,
    ConcurrencyConflict,
    DeadlineExceeded,
    DeciderFailed,
    InvalidMessage,
    Rejected,
    described,
)
from actors.receipt import Receipt, receipt_from, receipt_from_log
from actors.writer.aggregate_cache import UNLOADED, AggregateCache, History, evolved
from actors.writer.atomic_step import AtomicStep, Outcomes, StepSuperseded
from actors.writer.closed_streams import ClosedStreams
from actors.writer.decider_call import call_decider, own_details
from actors.writer.decider_reader import Reader
from actors.writer.event_sharing import EventSharing
from actors.writer.inline_models import InlineRun
from actors.writer.submission import CommandOutcome, Submission, receipt_or_error
from storage import CommandRecord, OnewriterError, RecordedEvent
from storage.log.notes import checked_notes
from storage.log.records import name_key, origin_of
from storage.log.stored_events import without_dropped
from storage.value_text import short_repr

__all__ = ["Overlay"]

logger = logging.getLogger("onewriter.deciding")


class Overlay:
    """What one batch has decided and the log does not have yet."""

    def __init__(
        self,
        domain: CompiledDomain,
        states: AggregateCache,
        history: History,
        encode: Any = None,
        inline: InlineRun | None = None,
        closed: ClosedStreams | None = None,
    ) -> None:
        """`encode(recorded, origin) -> bytes` is called for each event while it can still fail its command
        alone; so are the projections of `inline`, where the domain has inline models. `closed` knows the
        streams that take no events; None if there are none."""
        self.domain = domain
        self.events: list[RecordedEvent] = []
        self.encoded: list[bytes] = []
        self.commands: list[CommandRecord] = []
        self.snapshots: list[tuple[str, int, str, Any]] = []
        self.changed: dict[str, tuple[Any, int]] = {}
        """State and version of each stream that the batch has changed so far."""
        self.notes: dict[bytes, bytes | None] = {}
        self.position = history.head
        self.inline = inline
        self._closed = closed
        self._states = states
        self._history = history
        self._encode = encode
        self._sharing = EventSharing(domain.codec)
        self._known: dict[str, CommandRecord] = {}
        """The batch's commands by their ids, so that one of them is done once."""
        self._own: dict[str, tuple[Any, int]] = {}
        """As `changed`, by the command that is being decided: added to that once nothing can fail."""
        self._found: tuple[Any, int] | None = None
        """State and version of the command's own stream before it, once they were looked up."""
        self._undo: list[tuple[str, tuple[Any, int] | None]] | None = None
        """What a step has replaced in `changed`, to take the step back; None outside of a step."""
        self._reader = Reader(self)
        self.now_us = time.time_ns() // 1000

    def entry(self, stream: str, spec: StateSpec | None) -> tuple[Any, int]:
        """A stream's (state, version) after everything decided so far."""
        entry = self._own.get(stream) or self.changed.get(stream)
        if entry is None:
            return self._states.get(stream, spec)
        if entry[0] is UNLOADED and spec is not None:
            # What the batch added so far belongs to no state, and left it as the log has it.
            return self._states.get(stream, spec)[0], entry[1]
        return entry

    def tagged(self, tag: str) -> list[Any]:
        """A tag's events, committed ones first, then the batch's."""
        found = [recorded.event for recorded in without_dropped(self._history.read_tag(tag))]
        own = [recorded for recorded in self.events if tag in recorded.tags]
        return found + [recorded.event for recorded in self._sharing.of_batch(own)]

    def committed(self) -> Sequence[RecordedEvent]:
        """The batch's events for those who apply them, with copies of those that are not to be shared."""
        return self._sharing.of_batch(self.events)

    def note(self, key: bytes) -> bytes | None:
        """A note's value after every step so far."""
        return self.notes[key] if key in self.notes else self._history.note(key)

    def step(self, step: AtomicStep, deciding: Callable[[Submission], None]) -> Outcomes | Exception:
        """Do a step, or nothing of it; `deciding` is called with each of its commands first."""
        tables = 0 if self.inline is None else self.inline.batch.mark()
        mark = self.position, len(self.commands), len(self.snapshots), tables
        self._undo = []
        try:
            if step.guard is not None:
                key, expected = step.guard
                actual = self.note(key)
                if actual != expected:
                    return StepSuperseded(key, expected, actual)
            outcomes: Outcomes = []
            for submission in step.submissions:
                deciding(submission)
                outcomes.append(self.decide(submission))
            self.notes.update(checked_notes(step.notes(outcomes)))
        except BaseException as error:
            self._back_to(*mark)
            if isinstance(error, Exception):
                return error
            failure = DeciderFailed(
                f"the notes of a step failed with {short_repr(error)}; nothing of it was written"
            )
            failure.__cause__ = error
            return failure
        finally:
            self._undo = None
        return outcomes

    def _back_to(self, position: int, commands: int, snapshots: int, tables: int) -> None:
        kept = len(self.events) - (self.position - position)
        del self.events[kept:], self.encoded[kept:], self.snapshots[snapshots:]
        for record in self.commands[commands:]:
            del self._known[record.command_id]
        del self.commands[commands:]
        self.position = position
        for stream, entry in reversed(self._undo or ()):
            if entry is None:
                del self.changed[stream]
            else:
                self.changed[stream] = entry
        if self.inline is not None:
            self.inline.batch.back_to(tables)

    def decide(self, submission: Submission) -> Receipt | Exception:
        """Decide one command on what the ones before it left; a failing one leaves no trace."""
        return receipt_or_error(self.outcome_of(submission))

    def outcome_of(self, submission: Submission) -> CommandOutcome:
        """As `decide`, without making a receipt that may never be looked at."""
        try:
            return self._decide(submission)
        except OnewriterError as error:
            if isinstance(error, Rejected) and error.details:
                error.details = own_details(self.domain.codec, error.details)
            # An answer, not a fault; where it came from would keep this whole batch alive.
            return error.with_traceback(None)
        except BaseException as error:  # Also sys.exit() in a decider: it must not take the writer along.
            failure = DeciderFailed(
                f"{self._what(submission)} on stream {submission.stream!r} failed with "
                f"{described(error)}; nothing was written"
            )
            failure.__cause__ = error
            return failure
        finally:
            self._own.clear()
            self._found = None

    def _decide(self, submission: Submission) -> CommandOutcome:
        if submission.deadline is not None and time.monotonic() > submission.deadline:
            raise DeadlineExceeded(
                f"{self._what(submission)} {submission.command_id} was not executed: its deadline passed "
                "while it waited; send it again with a later one"
            )
        if not submission.fresh:
            earlier = self._earlier(submission)
            if earlier is not None:
                return earlier
        spec = submission.spec
        stream = submission.stream
        if self._closed is not None:
            self._closed.check(stream)
        state, version = found = self.entry(stream, spec.state) if spec else (None, self._version(submission))
        expected = submission.expected_version
        if expected is not None and expected != version:
            raise ConcurrencyConflict(stream, expected, version)
        if spec is None:
            return self._accept(submission, submission.events, version)
        events = call_decider(self.domain, submission, state, self._reader)
        self._found = found
        return self._accept(submission, events, version)

    def _version(self, submission: Submission) -> int:
        for event in submission.events:
            return self.entry(submission.stream, self.domain.events[type(event)].state)[1]
        return self.entry(submission.stream, None)[1]

    def _earlier(self, submission: Submission) -> Receipt | None:
        command_id = submission.command_id
        known = self._known.get(command_id)
        record = known or self._history.command(command_id)
        if record is None:
            return None
        if record.digest != submission.digest and not self.domain.canonical.had_digest(
            submission.sent, record.digest
        ):
            raise CommandIdReused(command_id)
        if known is None:
            return receipt_from_log(record, self._history)
        first = len(self.events) - (self.position - known.first) - 1
        return receipt_from(known, list(self._sharing.of_batch(self.events[first : first + known.count])))

    def _accept(self, submission: Submission, events: Iterable[Any], version: int) -> CommandOutcome:
        recorded: list[RecordedEvent] = []
        sharing = self._sharing
        sharing.command = submission.metadata is not None
        position = self.position
        for event in events:
            position += 1
            recorded.append(self._record(submission, event, position))
        count = len(recorded)
        stream, command_id = submission.stream, submission.command_id
        own = self._own
        if stream in own:
            version = own[stream][1]
        first = self.position + 1 if recorded else self.position
        record = CommandRecord(command_id, first, count, submission.digest, stream, version)
        encoded: list[bytes] = []
        encode = self._encode
        if encode is not None and recorded:
            encoded.append(encode(recorded[0], origin_of(record, recorded[-1])))
            for number in range(1, count):
                encoded.append(encode(recorded[number]))
        if self.inline is not None:
            if self._undo is None:
                self.inline.batch.settle()
            self.inline.project(sharing.of_command(recorded))
        # From here on nothing can fail: the command is part of the batch.
        self.position = position
        self.events += recorded
        self.encoded += encoded
        self.commands.append(record)
        self._known[command_id] = record
        for name, entry in own.items():
            self._snapshot(name, entry, count)
            if self._undo is not None:
                self._undo.append((name, self.changed.get(name)))
            self.changed[name] = entry
        if sharing.command:
            return sharing.receipt(record, recorded)
        if count == 1 and recorded[0].stream == stream:
            return recorded[0]
        return receipt_from(record, recorded)

    def _record(self, submission: Submission, event: Any, position: int) -> RecordedEvent:
        command = submission.spec
        spec = self.domain.events.get(event.__class__)
        if spec is None:
            raise DeciderFailed(
                f"{self._what(submission)} gave {short_repr(event)}, which is not an event of "
                f"{self.domain.name}; "
                "nothing was written"
            )
        spec.check(event)
        kept = event
        shareable = spec.shareable
        if shareable is not None and not shareable(event):
            kept, event = self._sharing.decoded(event, shareable)
        stream = submission.stream if spec.stream_of is None else spec.stream_of(event)
        if stream == submission.stream and self._found is not None and not self._own:
            state, version = self._found
        elif command is None and stream != submission.stream:
            raise InvalidMessage(
                f"{spec.name} belongs to stream {stream!r}, it can't be appended to {submission.stream!r}; "
                "append it to its own stream"
            )
        else:
            if self._closed is not None:
                self._closed.check(stream)
            state, version = self.entry(stream, spec.state)
        version += 1
        self._own[stream] = evolved(self.domain, spec, state, event), version
        tags = () if spec.tags_of is None else spec.tags_of(event)
        if self._undo is not None:
            # The log refuses a batch with such a name; a step must go on without the command.
            for name in (stream, *tags):
                name_key("stream or tag", name)
        return RecordedEvent(
            position,
            stream,
            version,
            kept,
            spec.name,
            self.now_us,
            submission.command_id,
            None if command is None else command.name,
            submission.causation_id,
            submission.correlation_id,
            tags,
            submission.metadata,
        )

    def _snapshot(self, stream: str, entry: tuple[Any, int], events: int) -> None:
        """Have a snapshot taken of a state that has come past the next one with so many `events`."""
        state, version = entry
        spec = self.domain.states.get(state.__class__)
        if spec is None or not spec.snapshot_every or version % spec.snapshot_every >= events:
            return
        before = self.changed.get(stream) or self._states.get(stream, spec)
        if version // spec.snapshot_every > before[1] // spec.snapshot_every:
            try:
                self.domain.codec.pack(state)
            except OnewriterError as error:
                logger.warning("no snapshot of stream %r at version %d: %s", stream, version, error)
            else:
                self.snapshots.append((stream, version, spec.fingerprint, state))

    def _what(self, submission: Submission) -> str:
        return "append" if submission.spec is None else submission.spec.name

    def merge(self) -> None:
        """Make the batch's states the committed ones; called after the commit."""
        for stream, entry in self.changed.items():
            self._states.put(stream, entry)

    def close(self) -> None:
        """Release what it read from; called in every case."""
        # The two know each other: only the garbage collector would find them, with the whole batch.
        del self._reader
        if self.inline is not None:
            self.inline.batch.close()
