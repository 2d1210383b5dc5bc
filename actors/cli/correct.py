"""`onewriter correct STORE --through MODULE:FUNCTION`: corrects events, and rebuilds models. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from actors.cli.archive_options import add_archives_path
from actors.cli.command_parser import PROGRAM, CommandParser, positive, whole
from actors.cli.domain_loading import add_domain, load_domain
from actors.cli.errors import CommandLineError
from actors.cli.function_loading import load_function
from actors.cli.json_values import json_line
from actors.cli.program_end import exit_code_of
from actors.cli.progress_lines import ProgressLines
from actors.cli.rebuild_wait import is_rebuilt
from actors.cli.store_directory import require_store
from actors.cli.store_work import opened_for_work
from actors.domain.domain import Domain
from actors.runtime.corrections import CorrectedEvent, CorrectionPlan
from actors.system.system import System
from storage import Correction
from storage.value_text import short_repr

__all__ = ["main"]

EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    (
        "{program} correct shop --domain shop --through actors.demo.corrected_prices:a_cent_more --dry-run",
        "see what would change",
    ),
    (
        "{program} correct shop --domain shop --through actors.demo.corrected_prices:a_cent_more "
        "--types ProductListed --who Ann --why 'listed a cent too low'",
        "change it",
    ),
    ("{program} corrections shop", "who changed what, and why"),
)
EXIT_CODES = {
    "0": "the correction is made, and every model is rebuilt; or the dry run is done",
    "1": "it failed, or nothing would change; standard error has the reason",
    "2": "the call was wrong, or there is no such store, domain or function",
    "130": "interrupted; the command corrections says whether it was made; the next opening rebuilds",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Correct events and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "correct",
        "Change stored events, as one recorded operation: a function gets each event, and returns None or "
        "the event that it should have been. What the events were before is kept, and so are who, why and "
        "when. Models that handle such events are rebuilt. Process managers and consumers are not given them "
        "again. No other process may have the store open, except for a dry run.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("store", metavar="STORE", help="the store's directory")
    add_domain(parser)
    parser.add_argument(
        "--through",
        required=True,
        metavar="MODULE:FUNCTION",
        help="called with each event, as docs/corrections.md says",
    )
    parser.add_argument("--who", default="", metavar="NAME", help="who corrects; kept with the correction")
    parser.add_argument("--why", default="", metavar="TEXT", help="why; kept with the correction")
    parser.add_argument("--types", nargs="+", default=[], metavar="TYPE", help="only events of these types")
    parser.add_argument("--streams", nargs="+", default=[], metavar="STREAM", help="only events of these")
    parser.add_argument("--after", type=whole, default=0, metavar="POSITION", help="only events after it")
    parser.add_argument("--until", type=positive, metavar="POSITION", help="only events up to it")
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
    add_archives_path(parser)
    parser.add_argument("--json", action="store_true", help="the report and the progress as JSON")
    options = parser.parse_args(arguments)

    def correct() -> None:
        domain, through = load_domain(options.domain), load_function("--through", options.through)
        types = _types(domain, options.types)
        if not options.dry_run and not (options.who.strip() and options.why.strip()):
            raise CommandLineError("give --who and --why, which are kept with the correction, or --dry-run")
        require_store(options.store)
        with _opened(options.store, domain, options.archives_path, options.dry_run) as system:
            plan = system.plan_correction(
                through,
                types=types,
                streams=options.streams,
                after=options.after,
                until=options.until,
                progress=ProgressLines("read", options.json),
            )
            _show_plan(plan, options.json)
            if not options.dry_run:
                done = plan.apply(who=options.who, why=options.why)
                _show_done(done, options.json)
                _wait(system, plan)

    return exit_code_of(correct, EXIT_CODES["130"].partition("; ")[2])


def _opened(store: str, domain: Domain, archives_path: str | None, dry_run: bool) -> System:
    if dry_run:
        return System.open(store, domain, replicas=1, mode="read", archives_path=archives_path)
    return opened_for_work(store, domain, archives_path=archives_path)


def _types(domain: Domain, names: Sequence[str]) -> list[type]:
    known = {spec.name: cls for cls, spec in domain.compile().events.items()}
    for name in names:
        if name not in known:
            raise CommandLineError(
                f"domain {domain.name!r} has no event {name!r}; it has: {', '.join(sorted(known))}"
            )
    return [known[name] for name in names]


def _show_plan(plan: CorrectionPlan, as_json: bool) -> None:
    if as_json:
        document = {
            "scanned": plan.scanned,
            "changed": plan.count,
            "types": dict(plan.types),
            "models": plan.models,
            "examples": [{"before": one.before, "after": one.after} for one in plan.examples],
        }
        print(json_line(document), flush=True)
        return
    for one in plan.examples:
        print(_line(one))
    if plan.count > len(plan.examples):
        print(f"... and {plan.count - len(plan.examples):,} more")
    types = ", ".join(f"{count:,} {name}" for name, count in sorted(plan.types.items())) or "none"
    models = ", ".join(plan.models) or "none"
    print(f"of {plan.scanned:,} events {plan.count:,} change ({types}); to be rebuilt: {models}", flush=True)


def _line(one: CorrectedEvent) -> str:
    before, after = one
    return (
        f"{before.position:,} {before.stream}: {short_repr(before.event, 200)}"
        f"\n  -> {short_repr(after.event, 200)}"
    )


def _show_done(done: Correction, as_json: bool) -> None:
    if as_json:
        document = {"correction": done.number, "who": done.who, "why": done.why, "count": done.count}
        print(json_line(document), flush=True)
    else:
        print(f"correction {done.number} is made, of {done.count:,} events", flush=True)


def _wait(system: System, plan: CorrectionPlan) -> None:
    """Wait until every model is rebuilt. Raises what `System.wait_rebuilt` does."""
    for model in system.domain.declarations.read_models:
        while model.name in plan.models and not is_rebuilt(system, model):
            pass
    system.wait_applied(timeout=60.0)
