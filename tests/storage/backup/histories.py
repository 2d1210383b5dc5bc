"""Logs at random, and what each was at every moment at which its last commit was another one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage import Codec, CommandRecord, EventLog, RecordedEvent
from storage.log.corrections import ChangedEvent
from storage.log.log_reader import LogReader
from storage.log.records import encode_event, envelope_of

STREAMS = 5
CODEC = Codec()


@dataclass(frozen=True, slots=True)
class Counted:
    number: int
    text: str = ""


CODEC.register(Counted)


def contents(log: LogReader) -> dict[str, Any]:
    """All that a backup has to bring back."""
    records: list[bytes] = []
    while found := log.records(len(records), 5_000):
        records += found
    ids = {envelope_of(record)[5] for record in records}
    beside, _ = log.commands_beside_events(limit=10_000)
    return {
        "records": records,
        "commands": [log.command(id) for id in sorted(ids)],
        "beside": beside,
        "streams": log.streams(),
        "tags": log.read_tag("even"),
        "notes": log.notes(b""),
        "corrections": log.corrections(),
        "chain": log.chain_head(),
    }


class History:
    """A log that grows at random. `moments` has its contents, by position and by chain."""

    def __init__(self, path: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.log = EventLog.open(path, CODEC, durable=False)
        self.time_us = 1_000_000
        self.versions = dict.fromkeys(range(STREAMS), 0)
        self.numbers = 0

    def go_on(self) -> None:
        """Continue a log that exists already."""
        for name, version in self.log.streams():
            self.versions[int(name.removeprefix("s-"))] = version
        while self.log.command(f"c{self.numbers + 1}") or self.log.command(f"r{self.numbers + 1}"):
            self.numbers += 1

    def step(self) -> None:
        """One commit: mostly of events, now and then of commands without any, of notes, or a correction."""
        kind = self.dice.random()
        self.time_us += 1_000_000
        if kind < 0.7:
            self.events(beside=0.3)
        elif kind < 0.8:
            self._commands()
        elif kind < 0.9:
            self.log.append([], notes=[self._note()])
        elif self.log.head:
            self._correct()

    def events(self, *, beside: float = 0.0) -> None:
        """One commit of events, and with the probability `beside` a command that has none."""
        events: list[RecordedEvent] = []
        commands: list[CommandRecord] = []
        for _ in range(self.dice.randint(1, 4)):
            self.numbers += 1
            first, id = self.log.head + len(events) + 1, f"c{self.numbers}"
            stream = self.dice.randrange(STREAMS)
            for _ in range(self.dice.randint(1, 3)):
                self.versions[stream] += 1
                position = self.log.head + len(events) + 1
                events.append(
                    RecordedEvent(
                        position,
                        f"s-{stream}",
                        self.versions[stream],
                        Counted(self.numbers, "x" * self.dice.randrange(200)),
                        "Counted",
                        self.time_us,
                        id,
                        tags=() if position % 2 else ("even",),
                    )
                )
            made = self.log.head + len(events) + 1 - first
            commands.append(CommandRecord(id, first, made, b"d", f"s-{stream}", self.versions[stream]))
        if self.dice.random() < beside:
            commands.append(CommandRecord(f"n{self.numbers}", self.log.head, 0, b"d", "s-0", 0))
        notes = [self._note()] if self.dice.random() < 0.3 else []
        self.log.append(events, commands, notes=notes)

    def _commands(self) -> None:
        self.numbers += 1
        self.log.append([], [CommandRecord(f"r{self.numbers}", self.log.head, 0, b"d", "s-0", 0)])

    def _note(self) -> tuple[bytes, bytes]:
        return b"note/%d" % self.dice.randrange(5), b"%d" % self.dice.randrange(1 << 30)

    def _correct(self) -> None:
        there = self._correctable()
        changes = []
        for position in sorted(self.dice.sample(there, min(self.dice.randint(1, 3), len(there)))):
            [before] = self.log.records(position - 1, 1)
            [recorded] = self.log.read(position - 1, 1)
            recorded.event = Counted(recorded.event.number, "corrected")
            after = encode_event(CODEC, recorded, *envelope_of(before)[11:])
            changes.append(ChangedEvent(position, before, after))
        changes = [one for one in changes if one.before != one.after]
        if changes:
            self.log.correct(changes, who="ann", why="why", time_us=self.time_us, models=["sums"])

    def _correctable(self) -> Sequence[int]:
        return range(1, self.log.head + 1)


class ArchivingHistory(History):
    """A log of which events are archived when `archive` is called."""

    def archive(self, *, whole: bool = False) -> int:
        """Archive some events, or a part of them; now and then finish what was begun before."""
        for moving in self.log.archives():
            if moving.state == "moving" and (whole or self.dice.random() < 0.5):
                self.log.move_to_archive(moving.number, 1_000)
        there = self._correctable()
        self.time_us += 1_000_000
        positions = sorted(self.dice.sample(there, max(len(there) // 3, 1)))
        made = self.log.begin_archive(positions, who="ann", why="old", time_us=self.time_us)
        self.log.move_to_archive(made.number, 1_000 if whole else self.dice.randrange(len(positions) + 1))
        return made.number

    def _correctable(self) -> Sequence[int]:
        moving = {
            position
            for one in self.log.archives()
            if one.state == "moving"
            for position, _ in self.log.archived_records(one.number)
        }
        return [at for at, _ in self.log.in_log(range(1, self.log.head + 1)) if at not in moving]
