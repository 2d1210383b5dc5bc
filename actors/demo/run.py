"""The demo: follow an update, deliver orders, replay a history under questions, rebuild a model, check every replica.

`python -m actors demo [--data history|journey] [--limit N] [--replicas 3] [--workers process] [--path DIR]`. The main
thread replays; three more ask questions at the same time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors import System
from actors.cli.temporary_directory import temporary_directory
from actors.demo.delivering import show_delivery
from actors.demo.figures import (
    show_answers,
    show_cache,
    show_check,
    show_commands,
    show_hops,
    show_journey,
    show_queries,
    show_replicas,
)
from actors.demo.follow import follow
from actors.demo.history import COMMANDS, history
from actors.demo.journey import DEFAULT_LINES, Journey, JourneyCounts, JourneyMissing, data_folder
from actors.demo.load import Known, asking
from actors.demo.rebuilding import show_rebuild
from actors.demo.replay import AHEAD, LagSamples, Replayed, replay
from actors.demo.report import Report, open_report
from actors.demo.shop import shop
from actors.demo.stopping import Stopped, drop_output, say_last, stopping_in_order
from storage.errors import OnewriterError

ASKERS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo as the command line says.

    Returns 0 when every replica agrees with the log and all else was in order, 1 when not or when something failed, 2 on bad use, and 128
    plus the signal's number when one ended it.
    """
    parser = argparse.ArgumentParser(prog="python -m actors demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--data", choices=("history", "journey"), default="history", help="what is replayed")
    parser.add_argument(
        "--limit",
        type=positive,
        help=f"commands of the history, or purchase lines of the journey (default: all, {DEFAULT_LINES:,})",
    )
    parser.add_argument("--replicas", type=positive, default=3, help="read replicas (default: 3)")
    parser.add_argument(
        "--workers",
        choices=("thread", "process"),
        default="thread",
        help="whether the shop's replicas are threads or processes (default: thread)",
    )
    parser.add_argument(
        "--path", type=Path, help="keep the store in this new or empty folder (default: thrown away)"
    )
    options = parser.parse_args(arguments)
    switch_interval = sys.getswitchinterval()
    # A dozen threads that each do little at a time: taking turns more often than every 5 ms halves their waits.
    sys.setswitchinterval(0.0005)
    try:
        with stopping_in_order():
            return demonstrate(options, open_report())
    except Stopped as stopped:
        say_last(str(stopped))
        return stopped.code
    except OSError as error:
        # The report's too: the place that it goes to is full, or nobody reads it any more and would read this.
        if not isinstance(error, BrokenPipeError):
            say_last(f"{type(error).__name__}: {error}")
        drop_output()
        return 1
    finally:
        sys.setswitchinterval(switch_interval)


def demonstrate(options: argparse.Namespace, report: Report) -> int:
    """All parts of the demo in a folder of their own; returns the exit code."""
    try:
        with temporary_directory("onewriter-demo-") as folder:
            path = options.path or Path(folder) / "store"
            source = open_source(options.data, options.limit)
            require_empty(path)
            show_update(report, Path(folder) / "followed", options.replicas)
            report.heading("A process manager at work: orders on their way")
            delivered = show_delivery(report, Path(folder) / "delivered")
            settings = {"replicas": options.replicas, "workers": options.workers}
            return show_history(report, path, settings, source, delivered)
    except (DemoError, JourneyMissing) as error:
        report.bad(str(error))
        return 2
    except OnewriterError as error:
        report.bad(f"{type(error).__name__}: {error}")
        return 1


class DemoError(Exception):
    """The demo cannot begin as it was asked to."""


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


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
    show_hops(report, follow(path, replicas))


def show_history(
    report: Report, path: Path, settings: dict[str, Any], source: Source, delivered: tuple[bool, str]
) -> int:
    """The third part and the last: replay under questions, rebuild, check all. Returns the exit code."""
    kind = "replicas in processes" if settings["workers"] == "process" else "replicas"
    report.heading("A shop at work")
    report.say(f"Replaying {source.text} into {path},")
    report.say(f"with {settings['replicas']} {kind} and {ASKERS} threads that ask questions meanwhile,")
    report.say(f"and never more than {AHEAD:,} events ahead of the slowest replica.")
    known = Known()
    with System.open(path, shop, **settings) as system:
        lag = LagSamples(system.replica_names)
        system.on_applied(lag)
        with asking(system, known, ASKERS) as askers, report.progress(source.units, source.total) as moved:
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
        show_queries(report, askers)
        show_replicas(report, system, lag)
        replayed = system.health().cache
        show_answers(report, system)
        report.heading("A read model filled anew while it answers")
        rebuilt = show_rebuild(report, system, known, ASKERS)
        cached = show_cache(system.health().cache, replayed)
        code = show_check(report, system)
    report.heading("In short")
    for good, text in (delivered, rebuilt, cached):
        (report.good if good else report.bad)(f"  {'OK' if good else 'WRONG'}: {text}")
        code = code if good else 1
    return code
