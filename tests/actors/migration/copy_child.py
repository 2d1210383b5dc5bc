"""The process of the kill test: copies a store through `halved`, slowly enough to be killed in between."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from actors.cli import copy_store
from actors.migration import log_copy
from actors.migration.copied_event import CopiedEvent
from storage import Codec, CommandRecord, EventLog, RecordedEvent

STREAMS = 7


@dataclass(frozen=True, slots=True)
class Counted:
    number: int


CODEC = Codec()
CODEC.register(Counted)


def fill(path: Path, count: int) -> None:
    """A log of so many commands of one to three events, some without events, with notes."""
    with EventLog.open(path, CODEC, durable=False) as log:
        versions = dict.fromkeys(range(STREAMS), 0)
        events: list[RecordedEvent] = []
        commands: list[CommandRecord] = []
        for number in range(count):
            first = len(events) + 1
            for part in range(number % 4):
                stream = (number + part) % STREAMS
                versions[stream] += 1
                name = f"s-{stream}"
                fields = Counted(number)
                position = len(events) + 1
                events.append(
                    RecordedEvent(position, name, versions[stream], fields, "Counted", position, f"c{number}")
                )
            own = f"s-{number % STREAMS}"
            made = len(events) + 1 - first
            first = first if made else first - 1
            commands.append(
                CommandRecord(f"c{number}", first, made, b"d%d" % number, own, versions[number % STREAMS])
            )
        notes = [(b"skip/model/%020d" % position, b"\x80") for position in range(1, len(events), 10)]
        log.append(events, commands, notes=notes)


def halved(event: CopiedEvent) -> Iterator[CopiedEvent]:
    """Drops a third, splits a third, and merges the streams into two."""
    number = event.fields["number"]
    event.stream = f"half-{number % 2}"
    for part in range(number % 3):
        yield event.replace(fields={"number": number, "part": part})


def main(source: str, target: str) -> int:
    """Copy it in small parts."""
    log_copy.CHUNK = 20
    print("begins", flush=True)
    return copy_store.main(
        [source, target, "--through", "tests.actors.migration.copy_child:halved", "--json"]
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
