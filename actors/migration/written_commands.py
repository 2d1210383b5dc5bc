"""Events of a copy that are ready to be written, with the records of their commands. The copier's thread."""

from __future__ import annotations

from typing import Any

from actors.migration.copied_event import OriginalEvent, recorded_of
from actors.migration.copied_streams import CopiedStreams
from actors.migration.position_mapping import PositionMapping
from storage import CommandRecord, EventLog, RecordedEvent
from storage.codec.json_form import pack_stored
from storage.log.log_reader import LogReader
from storage.log.records import Origin

__all__ = ["WrittenCommands"]


class WrittenCommands:
    """Commands one after another, until `take`."""

    def __init__(self, log: EventLog, source: LogReader, streams: CopiedStreams) -> None:
        self._log = log
        self._source = source
        self._streams = streams
        self._recent: dict[tuple[str, int], tuple[str, int] | None] = {}
        """Where events of the original that are not written yet are in the copy; None for dropped ones."""
        self._events: list[RecordedEvent] = []
        self._encoded: list[bytes] = []
        self._commands: list[CommandRecord] = []
        self.pending = 0
        """Events of the original since the last `take`."""

    def add(self, originals: list[OriginalEvent], results: list[list[list[Any]]]) -> None:
        """Add a command: its events, and what came of each."""
        self.pending += len(originals)
        records = [record for of_one in results for record in of_one]
        for record in records:
            record[1] = self._streams.next_version(record[0])
        for original, of_one in zip(originals, results, strict=True):
            place = (of_one[-1][0], of_one[-1][1]) if of_one else None
            self._recent[original.stream, original.version] = place
        first = self._log.head + len(self._events) + 1
        origin = originals[0].origin
        if origin is not None:
            self._add_command(originals[-1], records, first, origin)
        for number, record in enumerate(records):
            self._events.append(recorded_of(first + number, record[:11]))
            self._encoded.append(pack_stored(record))

    def _add_command(self, last: OriginalEvent, records: list[list[Any]], first: int, origin: Origin) -> None:
        digest, own_stream, own_version = (
            (origin, last.stream, last.version) if isinstance(origin, bytes) else origin
        )
        stream, version = self._moved(own_stream, own_version)
        record = CommandRecord(last.command_id, first, len(records), digest, stream, version)
        if not records:
            # Known by its id as one without events, decided after the event before it.
            record.first = first - 1
        elif (stream, version) == (records[-1][0], records[-1][1]):
            records[0].append(digest)
        else:
            records[0].append([digest, stream, version])
        self._commands.append(record)

    def _moved(self, stream: str, version: int) -> tuple[str, int]:
        """Where a command's own stream is in the copy, and at which version after the command."""
        while (stream, version) in self._recent:
            place = self._recent[stream, version]
            if place is not None:
                return place
            version -= 1
        mapping = PositionMapping(self._log.note, self._source.head)
        return self._streams.moved(stream, version, self._source, mapping)

    def take(self) -> tuple[list[RecordedEvent], list[bytes], list[CommandRecord]]:
        """The events, their bytes and the commands; none are left."""
        taken = self._events, self._encoded, self._commands
        self._events, self._encoded, self._commands, self.pending = [], [], [], 0
        self._recent.clear()
        self._streams.trim()
        return taken
