"""The other process in tests of the follower: it writes a log, or holds a snapshot of one open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from storage.codec.codec import Codec
from storage.log.event_log import EventLog
from storage.log.log_follower import LogFollower
from storage.log.records import CommandRecord, RecordedEvent
from storage.tables.schema import ModelSchema, TableSchema


@dataclass(frozen=True, slots=True)
class Counted:
    number: int


CODEC = Codec()
CODEC.register(Counted)

NUMBERS = TableSchema("numbers", "id")
MODEL = ModelSchema("numbers", 1, (NUMBERS,))


def event(position: int, log: EventLog) -> RecordedEvent:
    """An event of stream `a` or `b`, with two tags, of the command `c-<position>`."""
    stream = "ab"[position % 2]
    version = log.stream_version(stream) + 1
    tags = ("all", f"mod-{position % 3}")
    return RecordedEvent(
        position, stream, version, Counted(position), "Counted", 0, f"c-{position}", tags=tags
    )


def commands(path: str, what: str = "write", map_size: str = "") -> Callable[[list[str]], Any]:
    """The commands of a process that has the log at `path` open, as a writer or as a reader."""
    if what == "read":
        follower = LogFollower.open(path, CODEC, inline=[MODEL])
        return lambda words: [word for word in words if follower.inline_snapshot()]
    options: dict[str, Any] = {"map_size": int(map_size)} if map_size else {}
    log = EventLog.open(path, CODEC, inline=[MODEL], **options)

    def run(words: list[str]) -> Any:
        if words[0] == "reopen":
            log.reopen(map_size=int(words[1]) if len(words) > 1 else None)
        elif words[0] == "until":
            while log.head < int(words[1]):
                one = event(log.head + 1, log)
                batch = log.inline_batch()
                assert batch is not None
                batch.table(NUMBERS).put({"id": one.position, "pad": "x" * 1000})
                record = CommandRecord(
                    one.command_id, one.position, 1, b"d%d" % one.position, one.stream, one.version
                )
                snapshots = [(one.stream, one.version, "f", Counted(one.position))]
                notes = [(b"at", b"%d" % one.position)]
                log.append([one], [record], snapshots, notes=notes, inline=batch)
                batch.close()
        elif words[0] == "archive":
            first, last = map(int, words[1:3])
            made = log.begin_archive(range(first, last + 1), who="ann", why="old", time_us=1)
            while log.move_to_archive(made.number, 10):
                pass
        elif words[0] == "remove":
            log.remove_archive(int(words[1]), who="ann", why="old", time_us=1)
        elif words[0] == "readers":
            return log.stats()["readers"]
        elif words[0] == "check":
            return log.reader_check()
        return log.head

    return run
