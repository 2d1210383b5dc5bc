"""`onewriter archive STORE`: shows what an archive would have, and makes it with `--apply`. Main thread."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event

from actors.cli.archive_opening import add_change_options, checked_domain, opened_with_archives
from actors.cli.command_parser import PROGRAM, CommandParser, moment, positive
from actors.cli.domain_loading import add_domain
from actors.cli.errors import CommandLineError
from actors.cli.given_names import name_lines
from actors.cli.json_values import json_line
from actors.cli.program_end import exit_code_of
from actors.cli.progress_lines import ProgressLines
from actors.retention.archive_plan import ArchivePlan
from actors.system.system import System
from storage import ArchiveRecord
from storage.files.amounts import size_text
from storage.log.archive_records import MOVING

__all__ = ["main"]

EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("{program} close shop cart-250301-1 --who Ann --why 'paid'", "close a stream"),
    ("{program} archive shop --domain shop", "what an archive of all closed streams would have"),
    ("{program} archive shop --domain shop --apply --who Ann --why 'not needed often'", "make it"),
    ("{program} archives shop", "which archives there are"),
    (
        "{program} archive shop --domain shop --category product --before-snapshot --json",
        "of open streams what is before their snapshots, for a program",
    ),
)
EXIT_CODES = {
    "0": "the plan is shown, or the archive is made",
    "1": "it failed, or there is nothing to archive with --apply; standard error has the reason",
    "2": "the call was wrong, or there is no such store or domain",
    "130": "interrupted; what has begun is finished while the store is open, or by the same call",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Plan an archive, or make it, and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "archive",
        "Move events of closed streams from the log to an archive file. They are read from there, so nobody "
        "loses anything, and positions stay. Without --apply it shows what would be moved, and changes "
        "nothing; another process may have the store open then. docs/retention.md says more.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("store", metavar="STORE", help="the store's directory")
    add_domain(parser)
    parser.add_argument("--streams", nargs="+", default=[], metavar="STREAM", help="only these streams")
    parser.add_argument("--from", dest="file", metavar="FILE", help="a text file with a stream in each line")
    parser.add_argument("--category", default="", metavar="NAME", help="only streams of this category")
    part = parser.add_mutually_exclusive_group()
    part.add_argument(
        "--before-snapshot", action="store_true", help="of open streams, too: what is before their snapshot"
    )
    part.add_argument("--open", action="store_true", help="open streams, too, as a whole")
    parser.add_argument(
        "--quiet-since", type=moment, metavar="TIME", help="only streams without an event from then on"
    )
    parser.add_argument(
        "--limit", type=positive, default=1_000_000, metavar="EVENTS", help="at most so many; 1,000,000"
    )
    parser.add_argument("--apply", action="store_true", help="make the archive; --who and --why are needed")
    add_change_options(parser)
    options = parser.parse_args(arguments)

    def archive() -> None:
        domain = checked_domain(options)
        streams = [*options.streams, *name_lines(options.file)]
        if options.category and (streams or "-" in options.category):
            raise CommandLineError(
                "--category takes what is before the first hyphen in names of streams, and does not go with "
                "--streams or --from"
            )
        with opened_with_archives(options, domain) as system:
            finished = _finished(system) if options.apply else []
            for one in finished:
                _show_done(one, options.json)
            plan = system.plan_archive(
                streams,
                category=options.category,
                closed=not options.open,
                quiet_since=options.quiet_since,
                before_snapshot=options.before_snapshot,
                limit=options.limit,
                progress=ProgressLines("looked at", options.json),
            )
            _show_plan(plan, options.json)
            if options.apply and (plan.events or not finished):
                progress = ProgressLines("archived", options.json, "steps")
                done = system.archive(plan, who=options.who, why=options.why, progress=progress)
                _show_done(done, options.json)

    interrupted = EXIT_CODES["130"].partition("; ")[2] if options.apply else "nothing was changed"
    return exit_code_of(archive, interrupted)


def _finished(system: System) -> list[ArchiveRecord]:
    """The archives that an interrupted call has begun, once all their events are moved."""
    begun = [one.number for one in system.archives() if one.state == MOVING]
    pause = Event()
    while True:
        found = [one for one in system.archives() if one.number in begun]
        if all(one.state != MOVING for one in found):
            return found
        pause.wait(0.05)  # the system goes on with them; what hinders it is logged


def _show_plan(plan: ArchivePlan, as_json: bool) -> None:
    if as_json:
        document = {
            "streams": plan.streams,
            "parts": plan.parts,
            "events": plan.events,
            "bytes": plan.bytes,
            "first": plan.first,
            "last": plan.last,
            "stays": plan.stays,
            "left_out": plan.left_out,
            "examples": [{"stream": stream, "why": why} for stream, why in plan.examples],
            "behind": plan.behind,
            "more": plan.more,
        }
        print(json_line(document), flush=True)
        return
    parts = ", ".join(f"{count:,} {part}" for part, count in sorted(plan.parts.items()))
    print(
        f"{plan.events:,} events ({size_text(plan.bytes)}) of {plan.streams:,} streams"
        f"{f' ({parts})' if parts else ''}"
        f"{f', at positions {plan.first:,} to {plan.last:,}' if plan.events else ''}; "
        f"{plan.stays:,} events stay in the log"
    )
    for reason, count in sorted(plan.left_out.items()):
        names = ", ".join(stream for stream, why in plan.examples if why == reason)
        print(f"left out: {count:,} streams, {reason}{f': {names}' if names else ''}")
    for one in plan.behind:
        print(f"{one.kind} {one.name} has not read {one.events:,} of them; it reads them from the archive")
    if plan.more:
        print("there are more events for another archive")


def _show_done(done: ArchiveRecord, as_json: bool) -> None:
    if as_json:
        print(json_line({"archive": done}), flush=True)
    else:
        print(f"archive {done.number} has {done.events:,} events, in {done.file} ({size_text(done.bytes)})")
