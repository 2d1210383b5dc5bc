"""`onewriter info STORE`: what a store holds, and how full its files are. Main thread."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.errors import describe
from actors.cli.exit_codes import BAD_USE, DONE, FAILED
from actors.cli.json_values import json_line
from actors.runtime.store_info import ReplicaInfo, StoreInfo, info_of_store
from storage import NotAStore, OnewriterError
from storage.files.amounts import size_text
from storage.files.page_usage import FileUsage
from storage.log.archive_records import REMOVED

__all__ = ["main"]

EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("{program} info shop", "what is in it, and in its files"),
    ("{program} info shop --no-streams --json", "for a program, of a store with millions of streams"),
)
EXIT_CODES = {
    "0": "done",
    "1": "the store can't be read; standard error has the reason",
    "2": "the call was wrong, or there is no such store",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Show what is in a store and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "info",
        "Show what a store holds, and how full the files of its log and its replicas are: pages by database, "
        "free pages, the oldest reader, the room on the disk. Another process may have the store open. "
        "Changes nothing.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("store", metavar="STORE", help="the store's directory")
    parser.add_argument(
        "--no-streams", action="store_true", help="do not count the streams; a million takes a few seconds"
    )
    parser.add_argument("--json", action="store_true", help="a JSON document")
    options = parser.parse_args(arguments)
    try:
        info = info_of_store(options.store, count_streams=not options.no_streams)
    except NotAStore as error:
        print(error, file=sys.stderr)
        return BAD_USE
    except (OnewriterError, OSError, ValueError) as error:
        print(describe(error), file=sys.stderr)
        return FAILED
    if options.json:
        print(json_line(info.as_dict()))
    else:
        print("\n".join(_lines(info)))
    return DONE


def _lines(info: StoreInfo) -> Iterator[str]:
    yield f"{info.path}: history {info.history}, format {info.format}, made {info.created:%Y-%m-%d %H:%M} UTC"
    yield f"open for writing: {info.held_by or 'no'}"
    streams = "" if info.streams is None else f" in {info.streams:,} streams"
    yield (
        f"position {info.position:,}: {info.events:,} events{streams}, {info.commands:,} command ids, "
        f"{info.notes:,} notes, {info.snapshots:,} snapshots, {info.tags:,} tags of events"
    )
    yield from _archives(info)
    yield f"disk: {size_text(info.disk.free)} of {size_text(info.disk.total)} free"
    yield ""
    yield from _file("log", info.log)
    for replica in info.replicas:
        yield ""
        yield from _replica(replica)


def _archives(info: StoreInfo) -> Iterator[str]:
    kept = [one for one in info.archives if one.state != REMOVED]
    if not info.archives:
        return
    events, size = sum(one.events for one in kept), sum(one.bytes for one in kept)
    removed = len(info.archives) - len(kept)
    yield (
        f"archives: {len(kept):,} with {events:,} events, {size_text(size)}"
        f"{f'; {removed:,} removed' if removed else ''}"
    )


def _replica(replica: ReplicaInfo) -> Iterator[str]:
    if replica.usage is None:
        yield f"{replica.name}: {replica.problem}"
    else:
        yield from _file(replica.name, replica.usage)
    if replica.engines_bytes:
        yield f"  {size_text(replica.engines_bytes)} in files of other engines"


def _file(name: str, usage: FileUsage) -> Iterator[str]:
    yield (
        f"{name}: {size_text(usage.bytes)} of at most {size_text(usage.map_bytes)}, "
        f"{size_text(usage.used_bytes)} used, {size_text(usage.free_bytes)} free inside "
        f"({usage.pages:,} pages of {usage.page_bytes:,} bytes, {usage.free_pages:,} free)"
    )
    reader = usage.oldest_reader
    if reader is not None:
        yield (
            f"  the oldest reader, process {reader.process}, is {reader.commits_behind:,} commits behind: "
            f"{reader.pinned_pages:,} of the free pages can't be used before it ends"
        )
    rows: list[tuple[str, ...]] = [("database", "entries", "branch", "leaf", "overflow", "bytes")]
    for one in usage.databases:
        if not one.entries:
            continue
        numbers = (one.entries, one.branch_pages, one.leaf_pages, one.overflow_pages)
        size = size_text(one.pages * usage.page_bytes)
        rows.append((one.name, *(f"{number:,}" for number in numbers), size))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = "  ".join(text.rjust(width) for text, width in zip(others, widths[1:], strict=True))
        yield f"  {first.ljust(widths[0])}  {cells}"
