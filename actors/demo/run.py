"""The demo: an update traced, orders delivered, a history replayed, a model rebuilt, every replica checked.

`onewriter demo` runs it. The main thread replays; three more ask queries at the same time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors import System
from actors.cli.command_parser import PROGRAM, CommandParser, positive
from actors.cli.errors import describe
from actors.cli.temporary_directory import temporary_directory
from actors.demo.delivery import show_delivery
from actors.demo.history import COMMANDS, history
from actors.demo.journey import DEFAULT_LINES, Journey, JourneyCounts, JourneyMissing, data_folder
from actors.demo.rebuild import show_rebuild
from actors.demo.replay import AHEAD, LagSamples, Replayed, replay
from actors.demo.report import Report, open_report
from actors.demo.shop import shop
from actors.demo.signals import Stopped, stop_on_signals
from actors.demo.tables import (
    show_answers,
    show_cache,
    show_check,
    show_commands,
    show_hops,
    show_journey,
    show_queries,
    show_replicas,
)
from actors.demo.update_trace import trace_update
from actors.demo.visitors import KnownNames, visitors
from storage.errors import OnewriterError

VISITORS = 3
"""Threads that ask queries."""
EXAMPLES = (
    (
        "{program} demo --limit 1000 --path shop",
        "a part of the history; keep the store for the other commands",
    ),
    ("{program} demo --limit 200 --workers process --json", "replicas in processes; a report for a program"),
)
EXIT_CODES = {
    "0": "every replica agrees with the log, and every other check passed",
    "1": "a check or the store failed",
    "2": "the call was wrong, or what it needs is missing",
    "130": "interrupted (128 and the signal's number for other signals)",
}


def parse(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> argparse.Namespace:
    """The options of the demo. Ends the program for a wrong call."""
    parser = CommandParser(
        program,
        "demo",
        "Trace one update on its way, have a process manager lead orders to their end, replay a shopping "
        "history while threads query the replicas, rebuild a read model under queries, and compare every "
        "replica with the log.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("--data", choices=("history", "journey"), default="history", help="what is replayed")
    parser.add_argument(
        "--limit",
        type=positive,
        metavar="N",
        help=f"commands of the history, or purchase lines of the journey (default: all, {DEFAULT_LINES:,})",
    )
    parser.add_argument(
        "--replicas", type=positive, default=3, metavar="N", help="read replicas (default: 3)"
    )
    parser.add_argument(
        "--workers",
        choices=("thread", "process"),
        default="thread",
        help="whether the shop's replicas are threads or processes (default: thread)",
    )
    parser.add_argument("--json", action="store_true", help="report as JSON, a document a line")
    parser.add_argument(
        "--path", type=Path, help="keep the store in this new or empty directory (default: it is removed)"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Run the demo and return the exit code; see `EXIT_CODES`."""
    options = parse(arguments, program)
    switch_interval = sys.getswitchinterval()
    # A dozen threads that each do little at a time: switching more often than every 5 ms halves their waits.
    sys.setswitchinterval(0.0005)
    try:
        with stop_on_signals():
            return demonstrate(options, open_report(options.json))
    except Stopped as stopped:
        return failed(str(stopped), stopped.code)
    finally:
        sys.setswitchinterval(switch_interval)


def demonstrate(options: argparse.Namespace, report: Report) -> int:
    """All parts of the demo in a directory of their own; returns the exit code."""
    try:
        with temporary_directory("onewriter-demo-") as directory:
            path = options.path or Path(directory) / "store"
            source = open_source(options.data, options.limit)
            require_empty(path)
            show_update(report, Path(directory) / "followed", options.replicas)
            report.heading("A process manager at work: orders on their way")
            delivered = show_delivery(report, Path(directory) / "delivered")
            settings = {"replicas": options.replicas, "workers": options.workers}
            return show_history(report, path, settings, source, delivered)
    except (DemoError, JourneyMissing) as error:
        return failed(str(error), 2)
    except OnewriterError as error:
        return failed(describe(error), 1)


def failed(text: str, code: int) -> int:
    """Say why it ended in a line on standard error, if there still is one; returns the code."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)
    return code


class DemoError(Exception):
    """The demo cannot begin as it was asked to."""


def require_empty(path: Path) -> None:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DemoError(
            f"{path} is not an empty folder: the demo begins with a fresh store; name another --path"
        )


@dataclass
class Source:
    """Commands to replay; `done` of `total` `units` tell how far that has come."""

    commands: Iterable[object]
    text: str
    units: str
    total: int
    done: Callable[[Replayed], int]
    counts: JourneyCounts | None = None


def open_source(data: str, limit: int | None) -> Source:
    """The history or the journey. Raises JourneyMissing when the journey is not installed."""
    if data == "journey":
        data_folder()
        lines = limit or DEFAULT_LINES
        journey = Journey(lines)
        text = f"the first {lines:,} purchase lines of the Complete Journey"
        return Source(journey, text, "lines", lines, lambda _: journey.counts.lines, journey.counts)
    total = min(limit or COMMANDS, COMMANDS)
    text = f"a shopping history of {total:,} commands"
    return Source(history(total), text, "commands", total, lambda replayed: replayed.commands)


def show_update(report: Report, path: Path, replicas: int) -> None:
    """The first part: one product update and the time of each hop."""
    report.heading("One product update on its way")
    report.say("A product gets a new name. Each hop, in the order in which it happened:")
    show_hops(report, trace_update(path, replicas))


def show_history(
    report: Report, path: Path, settings: dict[str, Any], source: Source, delivered: tuple[bool, str]
) -> int:
    """The third part and the last: replay under queries, rebuild, check all. Returns the exit code."""
    kind = "replicas in processes" if settings["workers"] == "process" else "replicas"
    report.heading("A shop at work")
    report.say(f"Replaying {source.text} into {path},")
    report.say(f"with {settings['replicas']} {kind} and {VISITORS} threads that ask queries meanwhile,")
    report.say(f"and never more than {AHEAD:,} events ahead of the slowest replica.")
    known = KnownNames()
    with System.open(path, shop, **settings) as system:
        lag = LagSamples(system.replica_names)
        system.on_applied(lag)
        with visitors(system, known, VISITORS) as crowd, report.progress(source.units, source.total) as moved:
            result = replay(
                system,
                source.commands,
                known,
                lambda so_far: moved(
                    source.done(so_far), f"{so_far.commands / so_far.seconds:,.0f} commands/s"
                ),
            )
            began = time.perf_counter()
            system.wait_applied(timeout=60)
            waited = time.perf_counter() - began
        show_commands(report, result, waited)
        show_journey(report, source.counts)
        show_queries(report, crowd)
        show_replicas(report, system, lag)
        replayed = system.health().cache
        show_answers(report, system)
        report.heading("A read model is rebuilt while queries go on")
        rebuilt = show_rebuild(report, system, known, VISITORS)
        cached = show_cache(system.health().cache, replayed)
        code = show_check(report, system)
    report.heading("In short")
    for good, text in (delivered, rebuilt, cached):
        (report.good if good else report.bad)(f"  {'OK' if good else 'WRONG'}: {text}")
        code = code if good else 1
    return code
