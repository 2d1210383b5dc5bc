"""Aggregate states for the writer: a bounded cache over snapshots and events.

Used by the command handler's thread alone.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from enum import Enum
from typing import Any, Final, Protocol

from actors.domain.source_location import location_of, name_of
from actors.domain.specs import CompiledDomain, EventSpec, StateSpec
from actors.errors import DeciderFailed, described
from actors.writer.kept_states import kept_state
from storage import CodecError, CommandRecord, EventsRemoved, RecordedEvent
from storage.log.records import DROPPED
from storage.value_text import short_repr

__all__ = ["UNLOADED", "AggregateCache", "History", "evolve", "evolved"]


class Unloaded(Enum):
    """Means "not read yet", in contrast to None, the state of a stream that has none."""

    UNLOADED = "unloaded"


UNLOADED: Final = Unloaded.UNLOADED


class History(Protocol):
    """What deciding needs of the log; `storage.EventLog` is one, a test kit's list another."""

    @property
    def head(self) -> int: ...

    def read(self, after: int = 0, limit: int = 1000, until: int | None = None) -> list[RecordedEvent]: ...

    def read_stream(
        self, stream: str, after_version: int = 0, limit: int | None = None
    ) -> list[RecordedEvent]: ...

    def read_tag(self, tag: str, after: int = 0, limit: int | None = None) -> list[RecordedEvent]: ...

    def stream_version(self, stream: str) -> int: ...

    def command(self, command_id: str) -> CommandRecord | None: ...

    def snapshot(self, stream: str) -> tuple[int, str, Any] | None: ...

    def note(self, key: bytes) -> bytes | None: ...


def evolve(domain: CompiledDomain, state: Any, event: Any) -> Any:
    """The state after `event`.

    Raises `DeciderFailed` where no evolver fits, or one fails or returns no state.
    """
    return evolved(domain, domain.events[type(event)], state, event)


def evolved(domain: CompiledDomain, spec: EventSpec, state: Any, event: Any) -> Any:
    """As `evolve`, for a caller that has the event's spec."""
    if spec.evolvers is None:
        return state
    key = None if state is None else type(state)
    evolver = spec.evolvers.get(key)
    if evolver is None:
        found = "no state" if state is None else type(state).__name__
        raise DeciderFailed(
            f"event {spec.name} has no evolver for {found}; write @{domain.name}.evolve for that pair, "
            f"or do not yield {spec.name} there"
        )
    try:
        after = evolver(state, event)
    except Exception as error:
        raise DeciderFailed(
            f"evolver {name_of(evolver)} ({location_of(evolver)}) failed on event {spec.name} with "
            f"{described(error)}; an evolver must never fail"
        ) from error
    owner = spec.state
    if owner is not None:
        if after.__class__ not in owner.classes:
            wanted = " or ".join(cls.__name__ for cls in owner.classes)
            raise DeciderFailed(
                f"evolver {name_of(evolver)} ({location_of(evolver)}) returned {short_repr(after, 100)} for "
                f"event {spec.name}, "
                f"not a {wanted}; return the new state"
            )
        if owner.faithful is not None and not owner.faithful(after):
            # As a snapshot of it would give it. What can't be in a snapshot comes from the events each time.
            with suppress(CodecError):
                after = domain.codec.decode(domain.codec.pack(after))
    return after


class AggregateCache:
    """Committed states and versions of the streams used last, at most `limit` of them."""

    def __init__(self, domain: CompiledDomain, history: History, limit: int) -> None:
        self._domain = domain
        self._history = history
        self._limit = limit
        self._entries: OrderedDict[str, tuple[Any, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, stream: str, spec: StateSpec | None) -> tuple[Any, int]:
        """The committed (state, version) of a stream; version 0 when it is new.

        With `spec` None, for a fact that belongs to no state, the version alone is looked up and the state is
        `UNLOADED`: the stream may be an aggregate's all the same.
        """
        entry = self._entries.get(stream)
        if entry is None or (entry[0] is UNLOADED and spec is not None):
            entry = self._load(stream, spec)
            self.put(stream, entry)
        else:
            self._entries.move_to_end(stream)
        return entry

    def put(self, stream: str, entry: tuple[Any, int]) -> None:
        """Remember what a commit made of a stream."""
        entries = self._entries
        entries[stream] = entry
        entries.move_to_end(stream)
        while len(entries) > self._limit:
            entries.popitem(last=False)

    def clear(self) -> None:
        """Forget everything; the next use reads the log again."""
        self._entries.clear()

    def _load(self, stream: str, spec: StateSpec | None) -> tuple[Any, int]:
        if spec is None:
            return UNLOADED, self._history.stream_version(stream)
        state, version = None, 0
        snapshot = self._history.snapshot(stream)
        if snapshot is not None and snapshot[1] == spec.fingerprint:
            version, _, state = snapshot
        try:
            return self._folded(stream, state, version)
        except EventsRemoved:
            kept = kept_state(self._history, stream, self._domain.codec, spec.classes)
            if kept is None or kept[0] <= version:
                raise
        version, state = kept
        return self._folded(stream, state, version)

    def _folded(self, stream: str, state: Any, version: int) -> tuple[Any, int]:
        """The state after the events that follow a version, and the version after them."""
        while events := self._history.read_stream(stream, version, 1000):
            for recorded in events:
                if recorded.event is not DROPPED:
                    state = evolve(self._domain, state, recorded.event)
                version = recorded.version
        return state, version
