"""The event log against a plain-Python model: any order of batches, aborts, failed commits and reopenings."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import lmdb
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from storage.codec.codec import Codec
from storage.errors import CommitFailed, OutOfOrder, StoreFull, UnencodableValue
from storage.log import unindexed_tail as tail
from storage.log.batch import Batch
from storage.log.event_log import EventLog
from storage.log.records import CommandRecord, RecordedEvent
from tests.helpers import quick_folder

STREAMS = ["a", "ab", "a\x01", "b-1", "ü"]
TAGS = ["t", "tt", "u"]
CODEC = Codec()


@dataclass(frozen=True, slots=True)
class Noted:
    text: Any


CODEC.register(Noted)


@dataclass
class Model:
    """What the log should contain."""

    events: list[RecordedEvent] = field(default_factory=list)
    commands: dict[str, CommandRecord] = field(default_factory=dict)
    snapshots: dict[str, tuple[int, str, object]] = field(default_factory=dict)

    def version(self, stream: str) -> int:
        return sum(recorded.stream == stream for recorded in self.events)

    def add(self, batch: Made) -> None:
        self.events += batch.events
        self.commands |= {record.command_id: record for record in batch.commands}
        self.snapshots |= {stream: (version, mark, state) for stream, version, mark, state in batch.snapshots}


@dataclass
class Made:
    """A batch that would continue a model's log."""

    events: list[RecordedEvent]
    commands: list[CommandRecord]
    snapshots: list[tuple[str, int, str, object]]


drafts = st.lists(
    st.tuples(
        st.sampled_from(STREAMS),
        st.text(max_size=5) | st.binary(min_size=3000, max_size=3000),
        st.lists(st.sampled_from(TAGS), max_size=3).map(tuple),
    ),
    max_size=6,
)


class FaultyLog(EventLog):
    """A log that fails where a test says: during writing, instead of the commit, or after it."""

    fault: tuple[str, Exception] | None = None

    @contextmanager
    def failing(self, where: str, error: Exception) -> Iterator[None]:
        self.fault = where, error
        yield
        self.fault = None

    def _meet(self, where: str) -> None:
        if self.fault and self.fault[0] == where:
            raise self.fault[1]

    def _write(self, transaction: lmdb.Transaction, batch: Batch) -> None:
        super()._write(transaction, batch)
        self._meet("writing")

    def _commit(self, transaction: lmdb.Transaction) -> None:
        self._meet("before")
        super()._commit(transaction)
        self._meet("after")


class LogMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = quick_folder()
        self.model = Model()
        self.commands = 0
        # So short that a few batches fill it.
        self.short_tail = mock.patch.object(tail, "SHORTEST", 4)
        self.short_tail.start()
        self.log = self.open()

    def open(self) -> FaultyLog:
        return FaultyLog.open(Path(self.folder.name, "log"), CODEC, map_size=1 << 26, durable=False)

    def teardown(self) -> None:
        self.log.close()
        self.short_tail.stop()
        self.folder.cleanup()

    def make(self, draft: list[tuple[str, Any, tuple[str, ...]]]) -> Made:
        made = Made([], [], [])
        versions = {stream: self.model.version(stream) for stream in STREAMS}
        position = len(self.model.events)
        self.commands += 1
        command_id = f"command-{self.commands}"
        for stream, text, tags in draft:
            position += 1
            versions[stream] += 1
            made.events.append(
                RecordedEvent(
                    position,
                    stream,
                    versions[stream],
                    Noted(text),
                    "Noted",
                    position,
                    command_id,
                    "Note",
                    tags=tags,
                )
            )
            made.snapshots.append((stream, versions[stream], "v1", Noted(text)))
        first = len(self.model.events) + 1 if draft else 0
        made.commands.append(CommandRecord(command_id, first, len(draft), b"digest", "a", versions["a"]))
        return made

    def append(self, made: Made) -> None:
        # A batch holds only the last snapshot of a stream, as entries are sorted by stream.
        made.snapshots = list({snapshot[0]: snapshot for snapshot in made.snapshots}.values())
        self.log.append(made.events, made.commands, made.snapshots)

    @rule(draft=drafts)
    def a_batch_is_appended(self, draft: Any) -> None:
        made = self.make(draft)
        self.append(made)
        self.model.add(made)

    @rule(draft=drafts)
    def a_batch_is_aborted_while_it_is_written(self, draft: Any) -> None:
        for error, raised in ((lmdb.MapFullError("full"), StoreFull), (RuntimeError("bug"), RuntimeError)):
            with self.log.failing("writing", error), pytest.raises(raised):
                self.append(self.make(draft))

    @rule(draft=drafts)
    def a_batch_holds_what_cannot_be_encoded(self, draft: Any) -> None:
        with pytest.raises(UnencodableValue):
            self.append(self.make([*draft, ("a", object(), ())]))

    @precondition(lambda self: self.model.events)
    @rule(draft=drafts)
    def a_batch_does_not_continue_the_log(self, draft: Any) -> None:
        made = self.make([*draft, ("a", "", ())])
        made.events[-1].version += 1
        with pytest.raises(OutOfOrder):
            self.append(made)
        made = self.make(draft)
        made.commands.append(next(iter(self.model.commands.values())))
        with pytest.raises(OutOfOrder):
            self.append(made)

    @rule(draft=drafts)
    def a_commit_finds_the_map_full(self, draft: Any) -> None:
        with self.log.failing("before", lmdb.MapFullError("full")), pytest.raises(StoreFull):
            self.append(self.make(draft))

    @rule(draft=drafts, done=st.booleans())
    def a_commit_fails_and_the_log_is_reopened(self, draft: Any, done: bool) -> None:
        made = self.make(draft)
        error = lmdb.DiskError("no space")
        error.code = errno.ENOSPC
        with self.log.failing("after" if done else "before", error), pytest.raises(CommitFailed):
            self.append(made)
        # After an unknown outcome the new events are not shown, and nothing more can be written.
        self.everything_that_was_committed_is_there()
        with pytest.raises(CommitFailed):
            self.append(made)
        self.log.reopen()
        if done:
            self.model.add(made)
        assert (self.log.command(made.commands[0].command_id) is not None) == done

    @rule(picked=st.sets(st.integers(1, 30), min_size=1, max_size=12), limit=st.integers(0, 12))
    def events_are_archived(self, picked: set[int], limit: int) -> None:
        self.moving_goes_on(1_000)
        positions = [position for position, _ in self.log.in_log(sorted(picked))]
        if positions:
            made = self.log.begin_archive(positions, who="ann", why="old", time_us=1)
            self.log.move_to_archive(made.number, limit)

    @rule(limit=st.integers(1, 12))
    def moving_goes_on(self, limit: int) -> None:
        for archive in self.log.archives():
            if archive.state == "moving":
                self.log.move_to_archive(archive.number, limit)

    @rule(done=st.booleans())
    def a_commit_fails_while_events_are_moved(self, done: bool) -> None:
        self.events_are_archived({1, 2, 3, 5, 8, 13}, 3)  # type: ignore[call-arg]
        moving = [archive for archive in self.log.archives() if archive.state == "moving"]
        for archive in moving[-1:]:
            error = lmdb.DiskError("no space")
            with self.log.failing("after" if done else "before", error), pytest.raises(CommitFailed):
                self.log.move_to_archive(archive.number, 2)
            self.log.reopen()
            assert self.log.verify().findings == []

    @rule()
    def the_log_is_reopened(self) -> None:
        self.log.reopen()

    @rule()
    def the_log_is_closed_and_opened(self) -> None:
        history = self.log.history_id
        self.log.close()
        self.log = self.open()
        assert self.log.history_id == history

    @rule(after=st.integers(0, 30), limit=st.integers(0, 8), until=st.none() | st.integers(0, 30))
    def a_part_is_read(self, after: int, limit: int, until: int | None) -> None:
        assert self.log.read(after, limit, until) == self.model.events[after:until][:limit]
        for stream in STREAMS:
            whole = [recorded for recorded in self.model.events if recorded.stream == stream]
            assert self.log.read_stream(stream, after, limit) == whole[after:][:limit]
        for tag in TAGS:
            tagged = [recorded for recorded in self.model.events[after:] if tag in recorded.tags]
            assert self.log.read_tag(tag, after, limit) == tagged[:limit]

    @rule(
        prefix=st.sampled_from(["", "a", "b", "x"]),
        limit=st.integers(1, 5),
        after=st.sampled_from(["", *STREAMS]),
    )
    def streams_are_listed(self, prefix: str, limit: int, after: str) -> None:
        names = sorted({recorded.stream for recorded in self.model.events}, key=str.encode)
        wanted = [name for name in names if name.startswith(prefix) and name.encode() > after.encode()]
        listed = self.log.streams(prefix, limit, after)
        assert listed == [(name, self.model.version(name)) for name in wanted[:limit]]

    @invariant()
    def everything_that_was_committed_is_there(self) -> None:
        model, log = self.model, self.log
        assert log.head == len(model.events)
        assert log.read(limit=10_000) == model.events
        for stream in STREAMS:
            assert log.read_stream(stream) == [found for found in model.events if found.stream == stream]
        for tag in TAGS:
            assert log.read_tag(tag) == [found for found in model.events if tag in found.tags]

    @invariant()
    def versions_commands_and_snapshots_are_those_of_the_model(self) -> None:
        model, log = self.model, self.log
        for stream in STREAMS:
            assert log.stream_version(stream) == model.version(stream)
            assert log.snapshot(stream) == model.snapshots.get(stream)
        for command_id, record in model.commands.items():
            assert log.command(command_id) == record
        stats = log.stats()
        assert stats["events"] == stats["streams"] == len(model.events)
        assert stats["commands"] == len(model.commands)
        assert stats["tags"] == sum(len(set(recorded.tags)) for recorded in model.events)


TestLog = LogMachine.TestCase
