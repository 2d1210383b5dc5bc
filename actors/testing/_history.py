"""What has happened, in memory: the log of a test that needs no file. The test's thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from actors.domain.specs import CompiledDomain, StateSpec
from actors.errors import InvalidMessage, UnknownMessage
from actors.receipt import Receipt
from actors.testing._inline import inline_tables
from actors.testing._stored import read_stored
from actors.writer.aggregate_cache import AggregateCache
from actors.writer.inline_models import InlineRun
from actors.writer.overlay import Overlay
from actors.writer.submission import Submission
from storage import CommandRecord, RecordedEvent, Stored
from storage.log.records import EPOCH
from storage.log.stored_events import CommittedEvents
from storage.value_text import short_repr

__all__ = ["Happened", "MemoryHistory", "happened"]


@dataclass(frozen=True, slots=True)
class Happened:
    """An event with what else the log has of it; made by `happened`."""

    event: Any
    stream: str | None
    time: datetime | None
    metadata: dict[str, Any] | None


def happened(
    event: Any,
    *,
    stream: str | None = None,
    time: datetime | None = None,
    metadata: dict[str, Any] | None = None,
) -> Happened:
    """An event, or a `Stored` one, for `given` with its time (aware), its metadata, or, for a fact from
    outside, its stream.
    """
    require_time_zone(f"happened({short_repr(event)})", time)
    return Happened(event, stream, time, metadata)


def require_time_zone(what: str, time: datetime | None) -> None:
    """Raise `ValueError` for a time without a time zone."""
    if time is not None and time.utcoffset() is None:
        raise ValueError(f"{what}: time= needs a time zone, got {short_repr(time)}")


class MemoryHistory:
    """Events and command ids in lists: what `Overlay` and `AggregateCache` need of a log."""

    def __init__(self, domain: CompiledDomain) -> None:
        self.domain = domain
        self.events: list[RecordedEvent] = []
        self._commands: dict[str, CommandRecord] = {}
        self._notes: dict[bytes, bytes | None] = {}
        self._states = AggregateCache(domain, self, 1 << 20)
        self._inline: InlineRun | None = None

    def copy(self) -> MemoryHistory:
        """A copy, to go on from without changing this one."""
        other = MemoryHistory(self.domain)
        other.events = list(self.events)
        other._commands = dict(self._commands)
        other._notes = dict(self._notes)
        return other

    # -- what a log can be asked ----------------------------------------------------------------
    @property
    def head(self) -> int:
        """The last position."""
        return len(self.events)

    def read(self, after: int = 0, limit: int = 1000, until: int | None = None) -> list[RecordedEvent]:
        """Events after a position."""
        return self._own(self.events[after : self.head if until is None else until][:limit])

    def read_stream(
        self, stream: str, after_version: int = 0, limit: int | None = None
    ) -> list[RecordedEvent]:
        """Events of one stream after a version."""
        found = [one for one in self.events if one.stream == stream and one.version > after_version]
        return self._own(found[:limit])

    def read_tag(self, tag: str, after: int = 0, limit: int | None = None) -> list[RecordedEvent]:
        """Events with a tag after a position."""
        return self._own([one for one in self.events[after:] if tag in one.tags][:limit])

    def own(self) -> Sequence[RecordedEvent]:
        """All events, as copies that the caller may change."""
        return CommittedEvents(self.domain.codec, self.events)

    def _own(self, events: Sequence[RecordedEvent]) -> list[RecordedEvent]:
        return list(CommittedEvents(self.domain.codec, events))

    def stream_version(self, stream: str) -> int:
        """The version of a stream, 0 if it is new."""
        return sum(one.stream == stream for one in self.events)

    def command(self, command_id: str) -> CommandRecord | None:
        """What became of a command."""
        return self._commands.get(command_id)

    def snapshot(self, stream: str) -> tuple[int, str, Any] | None:  # noqa: ARG002
        """None: a test folds all events."""
        return None

    def note(self, key: bytes) -> bytes | None:
        """The value of a note."""
        return self._notes.get(key)

    def state(self, stream: str, spec: StateSpec) -> Any:
        """The state that a stream's events make, or None."""
        return self._states.get(stream, spec)[0]

    # -- what happens ---------------------------------------------------------------------------
    def decide(self, submission: Submission, when: datetime | None = None) -> Receipt | Exception:
        """Have one command decided, now or at another time, and keep what it did."""
        codec = self.domain.codec

        def encode(recorded: RecordedEvent, _origin: object = None) -> bytes:
            return codec.encode([recorded.event, recorded.metadata])

        overlay = Overlay(self.domain, self._states, self, encode, self._inline_tables())
        if when is not None:
            overlay.now_us = (when - EPOCH) // timedelta(microseconds=1)
        outcome = overlay.decide(submission)
        overlay.merge()
        self.events += overlay.events
        self._commands.update((record.command_id, record) for record in overlay.commands)
        self._notes.update(overlay.notes)
        return outcome

    def _inline_tables(self) -> InlineRun | None:
        """What the inline models have made of the events so far."""
        if self._inline is None:
            self._inline = inline_tables(self.domain)
            if self._inline is not None:
                self._inline.project(self.own())
        return self._inline

    def add(self, event: Any) -> None:
        """Add an event, a `Stored` one, or a `Happened` of either; raises the error that refuses it."""
        given = event if isinstance(event, Happened) else Happened(event, None, None, None)
        events = [given.event]
        if isinstance(given.event, Stored):
            events = read_stored(self.domain.codec, given.event, self.head + 1)
        if not events:
            return
        streams = [self._stream_of(one, given.stream) for one in events]
        submission = Submission(None, None, streams[0], f"given-{self.head + 1}", b"", fresh=True)
        submission.events = events
        submission.metadata = self.domain.codec.own(given.metadata)
        outcome = self.decide(submission, given.time)
        if isinstance(outcome, Exception):
            raise outcome

    def _stream_of(self, event: Any, stream: str | None) -> str:
        spec = self.domain.events.get(type(event))
        if spec is None:
            raise UnknownMessage(
                f"given(): {short_repr(event)} is not an event of domain {self.domain.name!r}; "
                "commands go into when()"
            )
        spec.check(event)
        if stream is not None:
            return stream
        if spec.stream_of is None:
            raise InvalidMessage(
                f"given(): {spec.name} has no stream of its own; write happened({spec.name}(...), stream=...)"
            )
        return spec.stream_of(event)


def flattened(events: Iterable[Any]) -> Iterator[Any]:
    """Events given one by one, in lists, or both."""
    for one in events:
        if isinstance(one, list | tuple):
            yield from flattened(one)
        else:
            yield one
