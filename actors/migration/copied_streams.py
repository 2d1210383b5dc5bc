"""Versions of the streams of a copy, and where a stream of the original is in it. The copier's thread."""

from __future__ import annotations

from actors.migration.position_mapping import PositionMapping
from storage import CommandRecord, EventLog
from storage.codec.json_form import unpack_stored
from storage.log.log_reader import LogReader

__all__ = ["CopiedStreams"]

MOST = 100_000
"""Streams whose versions are in memory; of others the log knows them."""


class CopiedStreams:
    """Of one copy."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._versions: dict[str, int] = {}

    def next_version(self, stream: str) -> int:
        """The version of the next event of a stream."""
        version = self._versions.get(stream)
        if version is None:
            version = self._log.stream_version(stream)
        self._versions[stream] = version + 1
        return version + 1

    def trim(self) -> None:
        """Forget versions if there are many; all events are in the log."""
        if len(self._versions) > MOST:
            self._versions.clear()

    def event(self, position: int) -> tuple[str, int]:
        """Stream and version of an event of the copy that is in the log."""
        [data] = self._log.records(position - 1, 1)
        stream, version, *_ = unpack_stored(data)
        return stream, version

    def moved(
        self, stream: str, version: int, source: LogReader, mapping: PositionMapping
    ) -> tuple[str, int]:
        """Where a stream of the original, at a version, is in the copy: at the last event that is left of it.

        With no such event, it has the version 0.
        """
        while version > 0:
            for position in source.positions_in_stream(stream, version - 1, 1):
                events = mapping.events(position)
                if events:
                    return self.event(events[-1])
            version -= 1
        return stream, 0

    def moved_command(
        self, record: CommandRecord, source: LogReader, mapping: PositionMapping
    ) -> CommandRecord:
        """The record of a command that stands beside the events."""
        last = record.first + record.count - 1
        before = mapping.checkpoint(record.first - 1)
        count = mapping.checkpoint(last) - before if record.count else 0
        first = before + 1 if count else mapping.checkpoint(last if record.count else record.first)
        stream, version = self.moved(record.stream, record.version, source, mapping)
        return CommandRecord(record.command_id, first, count, record.digest, stream, version)
