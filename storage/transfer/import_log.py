"""Makes a new store of the lines of an export: same positions, versions, ids and times. The caller's thread.

Every event is written as the stored bytes that its line gives. Command records come back with them, so that
the same command id again is recognised. The store gets a new history id: from here on it is another history.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from storage.codec.codec import Codec
from storage.errors import DamagedStore, InvalidExport, OnewriterError, StoreFull
from storage.log.event_log import EventLog
from storage.log.notes import Note
from storage.log.records import CommandRecord
from storage.transfer.command_runs import CommandRuns, event_of_record
from storage.transfer.export import commands_beside_events
from storage.transfer.lines import (
    ExportDigest,
    Header,
    command_of_line,
    note_of_line,
    record_of_line,
)
from storage.transfer.new_store import NewStore

__all__ = ["ENDING", "Import"]

ENDING = ".importing"
"""Of the folder beside the new store in which it is filled."""
CHUNK = 2_000
"""Events that are written together, and a command's further events with them."""
_ERRORS = (ValueError, TypeError, LookupError, RecursionError, OverflowError, OnewriterError)


@dataclass(slots=True)
class Import:
    """Of one export; its numbers grow while `run` works.

    `progress` is called with the position reached, and that of the last event, after every write.
    """

    lines: Iterable[str]
    target: str | os.PathLike[str]
    progress: Callable[[int, int], None] | None = None
    events: int = 0
    commands: int = 0
    notes: int = 0
    digest: str = ""
    history_id: str = ""
    types: Counter[str] = field(default_factory=Counter)

    def run(self) -> None:
        """Make the store; it is at its path only once all of it is verified and on disk.

        Raises NotAStore if something is at the path already; InvalidExport for a line that cannot be
        imported, an export of a part, one that was cut short, or one whose lines were changed since;
        StoreLocked if another import into this path is running; StoreFull. The path is then free, as before.
        """
        store = NewStore(self.target, ENDING)
        store.remove_leftover()
        try:
            with EventLog.open(store.folder, Codec(), durable=False) as log:
                self.history_id = log.history_id
                self._fill(log)
                self._verify(log)
            store.publish()
        except BaseException:
            store.discard()
            raise

    def _fill(self, log: EventLog) -> None:
        lines = _numbered(self.lines)
        number, first = next(lines, (1, {}))
        header = _header(first)
        sum = ExportDigest()
        runs = CommandRuns()
        notes: list[Note] = []
        records: list[CommandRecord] = []
        ended = False
        for number, line in lines:
            if ended:
                raise InvalidExport(f"line {number} comes after the end of the export", number)
            try:
                if "position" in line:
                    if "part" in line:
                        raise ValueError(
                            "it is one of several events that upcasters made of one; export without a domain"
                        )
                    data = record_of_line(line)
                    event, origin = event_of_record(line["position"], data)
                    if event.position != log.head + runs.count + 1:
                        raise ValueError(
                            f"position {event.position}, where {log.head + runs.count + 1} would follow"
                        )
                    if runs.count >= CHUNK and runs.ends_before(event):
                        self._write(log, runs, header.head)
                    runs.add(event, data, origin)
                    sum.add(data)
                    self.types[event.type] += 1
                elif "command_record" in line:
                    record = command_of_line(line)
                    records.append(record)
                    sum.add_command(record)
                elif "note" in line:
                    note = note_of_line(line)
                    notes.append(note)
                    sum.add(*note)
                elif "end" in line:
                    ended = True
                    self._write(log, runs, header.head)
                    self.events, self.commands, self.notes = log.head, len(records), len(notes)
                    self.digest = sum.text()
                    self._compare(line["end"], header)
                else:
                    raise ValueError("it is no line of an export")
            except (InvalidExport, StoreFull):
                raise
            except _ERRORS as error:
                raise _invalid(number, error) from error
        if not ended:
            raise InvalidExport(
                f"the export ends after line {number}, and its last line is missing: it was cut short; "
                "export the store again",
                number,
            )
        log.append([], records, notes=notes)

    def _write(self, log: EventLog, runs: CommandRuns, head: int) -> None:
        events, encoded, commands = runs.take()
        if events:
            log.append(events, commands, encoded=encoded, repeated_ids=True)
            if self.progress is not None:
                self.progress(log.head, head)

    def _compare(self, end: dict[str, Any], header: Header) -> None:
        counts = {"events": self.events, "commands": self.commands, "notes": self.notes}
        for name, count in counts.items():
            if end[name] != count:
                raise ValueError(f"the export has {end[name]} {name}, and {count} of them are in its lines")
        if header.head != self.events:
            raise ValueError(f"the export is of {header.head} events, and {self.events} are in its lines")
        if end["digest"] != self.digest:
            raise ValueError(
                "the digest of the lines is not the one that the export gives: lines were changed since; "
                "export the store again"
            )

    def _verify(self, log: EventLog) -> None:
        """Read everything back from the new log. Raises DamagedStore."""
        sum, after = ExportDigest(), 0
        while after < log.head:
            records = log.records(after, CHUNK)
            after += len(records)
            for data in records:
                sum.add(data)
        for record in commands_beside_events(log):
            sum.add_command(record)
        for note in log.notes(b""):
            sum.add(*note)
        if sum.text() != self.digest:
            raise DamagedStore(
                f"what was written to {log.path} is read back as something else: the disk may fail; it was "
                "removed"
            )


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines, numbered from 1, as objects. Raises InvalidExport."""
    number = 0
    try:
        for number, text in enumerate(lines, 1):
            if not text.strip():
                continue
            line = json.loads(text)
            if type(line) is not dict:
                raise ValueError("it is no JSON object")
            yield number, line
    except UnicodeDecodeError as error:
        raise _invalid(number + 1, error) from error
    except (ValueError, RecursionError) as error:
        raise _invalid(number, error) from error


def _invalid(number: int, error: Exception) -> InvalidExport:
    text = f"{type(error).__name__}: {error}" if isinstance(error, LookupError) else str(error)
    return InvalidExport(f"line {number} can't be imported: {text}; nothing was made", number)


def _header(line: dict[str, Any]) -> Header:
    try:
        header = Header.of_line(line)
        if not header.whole:
            raise ValueError("it is an export of a part of a log; export the store without options")
        return header
    except ValueError as error:
        raise _invalid(1, error) from error
