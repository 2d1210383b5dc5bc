"""Copies a log through a function into a new store. The caller's thread; both logs are closed to others.

The copy is filled in a folder beside its path and renamed at the end. Each write commits events together with
how far it is, so a copy whose process was killed goes on from there. At the end everything is read back.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import msgpack

from actors.errors import CopyFailed
from actors.migration.copied_event import CopiedEvent, OriginalEvent
from actors.migration.copied_keys import CopiedKeys
from actors.migration.copied_notes import copied_notes, names_in_ids, require_known_notes
from actors.migration.copied_streams import CopiedStreams
from actors.migration.copy_progress import ABOUT, PROGRESS, CopyProgress, chained
from actors.migration.moved_positions import MovedPositions
from actors.migration.position_mapping import MappingBuilder, PositionMapping
from actors.migration.written_commands import WrittenCommands
from storage import Codec, CommandRecord, DamagedStore, EventLog, NotAStore, UnreadableSeal
from storage.codec.stored_seals import StoredSeals
from storage.files.page_check import DEFAULT_VERIFY_BYTES
from storage.files.store_lock import LOCK_FILE, StoreLock
from storage.log.log_follower import LogFollower
from storage.log.notes import Note
from storage.transfer.export import commands_beside_events
from storage.transfer.new_store import NewStore

__all__ = ["ENDING", "LogCopy", "Through"]

ENDING = ".copying"
"""Of the folder beside the new store in which it is filled."""
CHUNK = 2_000
"""Positions of the original after which the copy is written; a command is written as a whole."""

Through = Callable[[CopiedEvent], Any]
"""Gives the event, another one, several in order, or None for none."""


@dataclass(slots=True)
class LogCopy:
    """Of one store. `through_name` is how the function is called, `code` identifies its code.

    `progress` is called with the position reached, and the last one, after every write.
    """

    source: str | os.PathLike[str]
    target: str | os.PathLike[str]
    through: Through
    through_name: str
    code: str = ""
    progress: Callable[[int, int], None] | None = None
    keys: CopiedKeys | None = None
    """The keys of personal fields, with which the function sees them, and those of its events are sealed."""
    state: CopyProgress = field(default_factory=CopyProgress)
    resumed_at: int = 0
    commands: int = 0
    notes: int = 0
    events: int = 0
    corrections: int = 0
    """Of the original: their records stay there."""
    history_id: str = ""
    seals: StoredSeals | None = None

    def run(self) -> None:
        """Make the copy; it is at its path only once all of it is verified and on disk.

        Raises NotAStore if something is at the path already, or there is no store to copy; StoreLocked if the
        original, or another copy to this path, is in use; CopyFailed for what the function does wrong, and
        for what can't be copied; StoreFull. What was copied so far stays in its folder, and the next call
        with the same store and function goes on there.
        """
        store = NewStore(self.target, ENDING)
        with ExitStack() as stack:
            source = self._open_source(stack)
            self.corrections = len(source.corrections())
            log = self._open_target(store, source)
            try:
                self.history_id = log.history_id
                if self.keys is not None:
                    self.seals = self.keys.open(os.fspath(self.source), log.path, stack)
                self._copy(source, log)
                self._verify(log)
            finally:
                log.close()
            store.publish()

    # -- opening ---------------------------------------------------------------------------------------------
    def _open_source(self, stack: ExitStack) -> LogFollower:
        # A copy that was never opened has no lock file, and gets none.
        if os.path.exists(os.path.join(self.source, LOCK_FILE)):
            stack.enter_context(StoreLock(self.source))
        source = LogFollower.open(self.source, Codec(), verify_bytes=DEFAULT_VERIFY_BYTES)
        stack.enter_context(source)
        source.advance(source.committed_head())
        return source

    def _open_target(self, store: NewStore, source: LogFollower) -> EventLog:
        wanted = CopyProgress(source.history_id, source.head, self.through_name, self.code)
        if store.has_leftover():
            log = self._leftover(store)
            if log is not None:
                found = CopyProgress.read(log)
                if found is not None and found.goes_on_as(wanted):
                    self.state, self.resumed_at = found, found.position
                    return log
                log.close()
            store.discard()
        self.state = wanted
        return EventLog.open(store.folder, Codec())

    def _leftover(self, store: NewStore) -> EventLog | None:
        """The log of an earlier attempt, unless that ended so early that there is none."""
        try:
            return EventLog.open(store.folder, Codec(), create=False)
        except (NotAStore, DamagedStore):
            return None

    # -- copying ---------------------------------------------------------------------------------------------
    def _copy(self, source: LogFollower, log: EventLog) -> None:
        require_known_notes(source)
        builder = MappingBuilder(log.note, self.state.position)
        streams = CopiedStreams(log)
        written = WrittenCommands(log, source, streams)
        for command in self._source_commands(source):
            records = [self._results(original) for original in command]
            for results in records:
                builder.add(len(results))
            written.add(command, records)
            self.state.position = command[-1].position
            if written.pending >= CHUNK:
                self._write(log, written, builder)
        self._write(log, written, builder)
        if not self.state.finished:
            self._finish(source, log, PositionMapping(log.note, source.head), streams)

    def _source_commands(self, source: LogFollower) -> Iterator[list[OriginalEvent]]:
        """The events of the original that are still to be copied, by command."""
        run: list[OriginalEvent] = []
        after = self.state.position
        while after < source.head:
            records = source.records(after, CHUNK)
            for position, data in enumerate(records, after + 1):
                try:
                    original = OriginalEvent(position, data, self.seals)
                except UnreadableSeal as error:
                    raise CopyFailed(f"the event at position {position} can't be copied: {error}") from error
                except Exception as error:
                    raise CopyFailed(
                        f"the event at position {position} can't be copied: its record is damaged "
                        f"({type(error).__name__}: {error}); restore a backup, and see it with export"
                    ) from error
                if run and (original.origin is not None or not original.follows(run[-1])):
                    yield run
                    run = []
                run.append(original)
            after += len(records)
        if run:
            yield run

    def _results(self, original: OriginalEvent) -> list[list[Any]]:
        event = original.event
        type_name, position, stream = event.type, event.position, event.stream
        try:
            results = original.results(self.through(event))
        except Exception as error:
            raise CopyFailed(
                f"{self.through_name} failed at position {position}, {type_name} of stream {stream!r}: "
                f"{type(error).__name__}: {error}"
            ) from error
        self.state.types_in[type_name] += 1
        for record in results:
            self.state.types_out[record[2]] += 1
        self.state.dropped += not results
        self.state.split += len(results) > 1
        return results

    def _write(self, log: EventLog, written: WrittenCommands, builder: MappingBuilder) -> None:
        if not written.pending:
            return
        events, encoded, commands = written.take()
        for data in encoded:
            self.state.add(data)
        notes = [*builder.take(), self.state.note()]
        if self.seals is not None:
            self.seals.flush()
        log.append(events, commands, encoded=encoded, notes=notes, repeated_ids=True)
        if self.progress is not None:
            self.progress(self.state.position, self.state.head)

    def _finish(
        self, source: LogFollower, log: EventLog, mapping: PositionMapping, streams: CopiedStreams
    ) -> None:
        """Copy what is beside the events. Done again from its beginning if the process is killed in it."""
        records: list[CommandRecord] = []
        for record in commands_beside_events(source):
            if log.command(record.command_id) is None:
                records.append(streams.moved_command(record, source, mapping))
            if len(records) >= CHUNK:
                log.append([], records)
                records = []
        log.append([], records)
        notes: list[Note] = []
        moved = MovedPositions(mapping, names_in_ids(source))
        for note in copied_notes(source, log, moved, streams):
            notes.append(note if self.keys is None else self.keys.described(note))
            if len(notes) >= CHUNK:
                log.append([], notes=notes)
                notes = []
        if self.keys is not None:
            notes.append(self.keys.note())
        self.state.finished = True
        about = {
            "history_id": source.history_id,
            "head": source.head,
            "through": self.through_name,
            "created": source.created.isoformat(),
        }
        log.append([], notes=[*notes, (ABOUT, msgpack.packb(about)), self.state.note()])

    # -- verifying -------------------------------------------------------------------------------------------
    def _verify(self, log: EventLog) -> None:
        """Read everything back. Raises DamagedStore; the last write removes the note of the progress."""
        digest, types, after = b"", Counter[str](), 0
        while after < log.head:
            records = log.records(after, CHUNK)
            after += len(records)
            for data in records:
                digest = chained(digest, data)
                types[OriginalEvent.type_of(data)] += 1
        if digest != self.state.digest or types != self.state.types_out:
            raise DamagedStore(
                f"what was written to {log.path} is read back as something else: the disk may fail; remove "
                "that folder, and copy again"
            )
        mapping = PositionMapping(log.note, self.state.head)
        if mapping.checkpoint(self.state.head) != log.head:
            raise DamagedStore(f"the mapping of positions in {log.path} does not end at its last event")
        self.events = log.head
        self.commands = log.stats()["commands"]
        self.notes = sum(1 for key, _ in log.notes(b"") if not key.startswith(b"copy/"))
        log.append([], notes=[(PROGRESS, None)])
