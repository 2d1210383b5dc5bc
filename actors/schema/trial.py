"""Stored events read through code before it is deployed: every one, or a sample. Any thread; writes nothing.

Each event is decoded, its upcasters run, and the fields of what comes out are held against their types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from actors.domain.specs import CompiledDomain
from actors.errors import InvalidMessage, described
from storage.errors import CodecError
from storage.log.log_reader import LogReader
from storage.log.record_filter import type_of
from storage.log.records import RecordedEvent
from storage.log.stored_events import decode_event

__all__ = ["Trial", "TypeResult"]

CHUNK = 1000
"""Events that are read at a time."""


@dataclass(slots=True)
class TypeResult:
    """Of one stored type, with its version: how many events were read, and how many of them failed.

    `first` is the position of the first that failed, and `error` is why it did.
    """

    events: int = 0
    failed: int = 0
    first: int | None = None
    error: str = ""


@dataclass(slots=True)
class Trial:
    """What came of it: `types` by stored name; `events` were read in all."""

    log: LogReader
    domain: CompiledDomain
    types: dict[str, TypeResult] = field(default_factory=dict)
    events: int = 0

    @property
    def failed(self) -> int:
        """How many events can't be read."""
        return sum(one.failed for one in self.types.values())

    def run(self, sample: int | None, progress: Callable[[int, int], None]) -> None:
        """Read every event, or `sample` of them, evenly spaced; calls `progress` with how many, of how many.

        Raises `DamagedStore`, and what else the log does.
        """
        head = self.log.head
        wanted = head if sample is None else min(sample, head)
        for first, records in self._records(head, wanted):
            for position, data in enumerate(records, first):
                self._try(position, data)
            progress(self.events, wanted)

    def _records(self, head: int, wanted: int) -> Iterator[tuple[int, list[bytes]]]:
        if wanted < head:
            for number in range(wanted):
                position = number * head // wanted + 1
                yield position, self.log.records(position - 1, 1)
            return
        at = 0
        while at < head:
            records = self.log.records(at, CHUNK)
            yield at + 1, records
            at += len(records)

    def _try(self, position: int, data: bytes) -> None:
        self.events += 1
        name = type_of(data)
        result = self.types.get(name)
        if result is None:
            result = self.types[name] = TypeResult()
        result.events += 1
        try:
            found = decode_event(self.domain.codec, position, data)
            for recorded in found if isinstance(found, list) else (found,):
                self._check(recorded)
        except (CodecError, InvalidMessage) as error:
            result.failed += 1
            if result.first is None:
                result.first, result.error = position, described(error)

    def _check(self, recorded: RecordedEvent) -> None:
        spec = self.domain.events.get(type(recorded.event))
        if spec is not None:  # a dropped one has none
            spec.check(recorded.event)
