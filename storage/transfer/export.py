"""Writes a log as lines of JSON, whole or in part. The caller's thread.

The log is read without a lock: another process may write to it meanwhile. The export has the events and the
notes of one commit, the last one when it began.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from storage.codec.codec import Codec
from storage.codec.json_form import Json, unpack_stored
from storage.codec.upcasting import version_of
from storage.errors import CodecError, DamagedStore
from storage.log.archived_event import removed_archive
from storage.log.log_follower import LogFollower
from storage.log.log_reader import LogReader
from storage.log.records import DROPPED, CommandRecord, encode_event
from storage.log.stored_events import decode_event
from storage.transfer.command_runs import ORIGIN
from storage.transfer.lines import (
    ExportDigest,
    Header,
    command_line,
    event_line,
    note_line,
    record_of_line,
    text_of_line,
)

__all__ = ["Export", "Selection", "commands_beside_events"]

CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events to export: those from position `first` on, of these types and streams; all if empty.

    A type is named as it is stored, or without its version.
    """

    first: int = 1
    types: frozenset[str] = frozenset()
    streams: frozenset[str] = frozenset()

    @property
    def whole(self) -> bool:
        """Whether that is the whole log."""
        return self.first <= 1 and not self.types and not self.streams

    def admits(self, line: dict[str, Json]) -> bool:
        """Whether the event of this line is one of them; one that cannot be read at all is."""
        if "stream" not in line:
            return True
        type_name = str(line["type"])
        return (not self.types or type_name in self.types or version_of(type_name)[0] in self.types) and (
            not self.streams or line["stream"] in self.streams
        )


@dataclass(slots=True)
class Export:
    """Of one log. Its numbers grow while `lines` is consumed; `digest` is set at the end.

    `codec` is that of a domain, whose classes then read the events; None exports them as they are stored.
    `progress` is called with the position reached, after every thousand events. `corrections` of stored
    events were made; what the events were before is not in the export. `removed` events were in archives
    that are gone: what the log still knows of them is exported, without their fields.
    """

    log: LogFollower
    selection: Selection = Selection()
    codec: Codec | None = None
    progress: Callable[[int], None] | None = None
    events: int = 0
    undecodable: int = 0
    commands: int = 0
    notes: int = 0
    corrections: int = 0
    removed: int = 0
    digest: str = ""
    types: Counter[str] = field(default_factory=Counter)

    def lines(self) -> Iterator[str]:
        """The lines, each with its end. Raises DamagedStore for a gap in the log, StoreClosed."""
        log, sum = self.log, ExportDigest()
        notes = log.advance_to_end()
        self.corrections = len(log.corrections())
        whole = self.selection.whole
        header = Header(
            log.history_id,
            log.created.isoformat(),
            log.head,
            "stored" if self.codec is None else "decoded",
            whole,
        )
        yield text_of_line(header.line())
        for line in self._event_lines():
            sum.add(record_of_line(line))
            yield text_of_line(line)
        if whole:
            for record in commands_beside_events(log):
                self.commands += 1
                sum.add_command(record)
                yield text_of_line(command_line(record))
            for key, value in notes:
                self.notes += 1
                sum.add(key, value)
                yield text_of_line(note_line(key, value))
        self.digest = sum.text()
        counts = {"events": self.events, "commands": self.commands, "notes": self.notes}
        yield text_of_line({"end": {**counts, "digest": self.digest}})

    def _event_lines(self) -> Iterator[dict[str, Json]]:
        log, after = self.log, max(self.selection.first - 1, 0)
        head = log.head
        while after < head:
            try:
                records = log.records(after, CHUNK, head)
            except DamagedStore as error:
                after += 1
                self.events += 1
                self.undecodable += 1
                yield damaged_line(after, error)
                continue
            for position, data in enumerate(records, after + 1):
                stored = event_line(position, data)
                if not self.selection.admits(stored):
                    continue
                codec = self.codec
                self.removed += removed_archive(data) is not None
                for line in [stored] if codec is None else decoded_lines(codec, position, data, stored):
                    self.events += 1
                    self.undecodable += "undecodable" in line
                    self.types[line.get("type", "?")] += 1
                    yield line
            after += len(records)
            if self.progress is not None:
                self.progress(after)


def commands_beside_events(log: LogReader) -> Iterator[CommandRecord]:
    """The records of all commands that no event gives, by command id."""
    found, last = log.commands_beside_events(limit=CHUNK)
    yield from found
    while last:
        found, last = log.commands_beside_events(last, CHUNK)
        yield from found


def damaged_line(position: int, error: DamagedStore) -> dict[str, Json]:
    """The line of an event whose record can't be read; it gives no bytes."""
    return {"position": position, "stored": "", "undecodable": f"{type(error).__name__}: {error}"}


def decoded_lines(codec: Codec, position: int, data: bytes, stored: dict[str, Json]) -> list[dict[str, Json]]:
    """The lines of an event as the classes of a domain read it; `stored` with the reason if they cannot.

    There are several if upcasters made several events of it, each with its `part`; none if they dropped it.
    """
    try:
        read = decode_event(codec, position, data)
        if not isinstance(read, list):
            origin = unpack_stored(data)[ORIGIN:]
            return [event_line(position, encode_event(codec, read, *origin))]
        parts = [one for one in read if one.event is not DROPPED]
        return [
            {**event_line(position, encode_event(codec, one)), "part": part}
            for part, one in enumerate(parts, 1)
        ]
    except CodecError as error:
        return [{**stored, "undecodable": f"{type(error).__name__}: {error}"}]
