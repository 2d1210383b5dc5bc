"""`onewriter archives remove`: says who loses something, and removes with `--apply`. Main thread."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from actors.cli.archive_opening import add_change_options, checked_domain, opened_with_archives
from actors.cli.command_parser import PROGRAM, CommandParser, positive
from actors.cli.domain_loading import add_domain
from actors.cli.exit_codes import FAILED
from actors.cli.json_values import json_line
from actors.cli.program_end import exit_code_of
from actors.cli.progress_lines import ProgressLines
from actors.errors import WouldLose
from actors.retention.removal_plan import ALL, RemovalPlan

__all__ = ["main"]

EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("{program} close shop cart-250301-1 --who Ann --why 'paid'", "close a stream"),
    ("{program} archive shop --domain shop --apply --who Ann --why 'not needed often'", "archive it"),
    ("{program} archives remove shop 1 --domain shop", "who would lose something"),
    (
        "{program} archives remove shop 1 --domain shop --apply --lose all --who Ann --why 'ten years old'",
        "remove it for good",
    ),
)
EXIT_CODES = {
    "0": "the plan is shown, or the archive is removed",
    "1": "it failed, or somebody would lose something who is not named; standard error has the reason",
    "2": "the call was wrong, or there is no such store or domain",
    "130": "interrupted; the command archives says whether it is removed",
}

APPLIED = 600.0
"""Seconds that replicas have to come to the end of the log."""


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Plan the removal of an archive, or do it, and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "archives remove",
        "Remove an archive: its events are gone for good. Without --apply it shows who would lose something, "
        "and changes nothing; another process may have the store open then. With --apply each of them has to "
        "be named by --lose.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("store", metavar="STORE", help="the store's directory")
    parser.add_argument("number", metavar="NUMBER", type=positive, help="of the archive")
    add_domain(parser)
    parser.add_argument("--apply", action="store_true", help="remove it; --who and --why are needed")
    parser.add_argument(
        "--lose", nargs="+", default=[], metavar="NAME", help=f"who may lose something, as shown, or {ALL}"
    )
    add_change_options(parser)
    options = parser.parse_args(arguments)

    def remove() -> int | None:
        domain = checked_domain(options)
        with opened_with_archives(options, domain) as system:
            progress = ProgressLines("read", options.json)
            if not options.apply:
                _show(system.plan_removal(options.number, progress=progress), options.json)
                return None
            # What a replica has not read yet it would never show.
            system.wait_applied(timeout=APPLIED)
            try:
                done = system.remove_archive(
                    options.number,
                    lose="all" if options.lose == [ALL] else options.lose,
                    who=options.who,
                    why=options.why,
                    progress=progress,
                )
            except WouldLose as error:
                print(f"WouldLose: {_refusal(error)}", file=sys.stderr)
                return FAILED
            text = f"archive {done.number} is removed, and {done.events:,} events with it"
            print(json_line({"removed": done}) if options.json else text, flush=True)
            return None

    return exit_code_of(remove, EXIT_CODES["130"].partition("; ")[2])


def _refusal(error: WouldLose) -> str:
    listed = "; ".join(f"{label}: {why}" for label, why in error.losses)
    labels = " ".join(label for label, _ in error.losses)
    return (
        f"archive {error.archive} was not removed, since its events would be lost to {listed}; if that is "
        f"meant, add to --lose: {labels}; or keep the archive"
    )


def _show(plan: RemovalPlan, as_json: bool) -> None:
    if as_json:
        losses = [{"lose": one.label, "events": one.events, "why": one.why} for one in plan.losses]
        document = {
            "archive": plan.number,
            "events": plan.events,
            "first": plan.first,
            "last": plan.last,
            "types": plan.types,
            "tagged": plan.tagged,
            "open_streams": plan.open_streams,
            "closed_streams": plan.closed_streams,
            "losses": losses,
        }
        print(json_line(document), flush=True)
        return
    types = ", ".join(f"{count:,} {name}" for name, count in sorted(plan.types.items()))
    types = types or "of unknown types"
    print(
        f"archive {plan.number} has {plan.events:,} events ({types}) of {plan.open_streams:,} open and "
        f"{plan.closed_streams:,} closed streams; {plan.tagged:,} have tags"
    )
    for one in plan.losses:
        print(f"{one.label}  {one.events:,} events: {one.why}")
    if not plan.losses:
        print("nobody would lose anything")
