"""`python -m benchmarks.without CHOICE`: what a design choice is worth, with it and without it in turn.

Each choice is one constant or function of the code, which is replaced while the entry without it runs. The
decisions in docs/decisions give the commands.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from actors.runtime import actor_tree, local_replicas
from actors.writer import command_handler, writer_state
from actors.writer.commit_notifier import CommitNotifier
from benchmarks.domain import ProductBySku
from benchmarks.harness import APPLIED, CommandEntry, Results, measure_commands
from benchmarks.machine import disk, machine, markdown
from benchmarks.peers.onewriter import REPLICAS, OneWriterCallers, opened
from benchmarks.progress import show_progress
from benchmarks.ratios import range_of, ratio_of
from benchmarks.report import spread
from benchmarks.suite import COMMANDS, THREE
from benchmarks.workload import PRODUCTS, commands_for
from storage.files.environment import open_environment
from storage.log import unindexed_tail
from storage.replica import preparation

COMMANDS_OF_A_ROUND = 5_000
READ_BACK = "read-back"
"""No entry of the tables: queries that wait for the receipt just got, by one caller, over the median wait."""


@dataclass(frozen=True)
class Choice:
    """What takes the place of `name` in each of `modules`, and the entries that show the difference."""

    text: str
    modules: tuple[ModuleType, ...]
    name: str
    instead: Any
    entries: tuple[str, ...]


READING_BACK = CommandEntry(READ_BACK, f"{THREE}: query after its own receipt", OneWriterCallers, times=0.4)
CHOICES = {
    "group-commit": Choice(
        "one command a commit, where all that wait would share one",
        (command_handler,),
        "MAX_BATCH",
        1,
        ("commands/onewriter-64", "commands/onewriter-submit"),
    ),
    "index-tail": Choice(
        "index entries written with each commit, where a thousand or more would wait",
        (unindexed_tail,),
        "LONGEST",
        0,
        ("commands/onewriter-1", "commands/onewriter-submit", "commands/onewriter-many"),
    ),
    "unsynced-replicas": Choice(
        "replicas that wait for the disk at each commit",
        (preparation,),
        "open_environment",
        lambda path, **options: open_environment(path, **{**options, "sync": True}),
        ("commands/onewriter-1", "commands/onewriter-submit", READ_BACK),
    ),
    "held-news": Choice(
        "replicas notified of each commit immediately, where those of 3 ms would be sent together",
        (writer_state,),
        "CommitNotifier",
        lambda _interval: CommitNotifier(0),
        ("commands/onewriter-1", "commands/onewriter-64", "commands/onewriter-submit"),
    ),
    "projected-once": Choice(
        "every replica projects, where one would for all three",
        (actor_tree, local_replicas),
        "projects_once",
        lambda _settings, _domain: False,
        (
            "commands/onewriter-1",
            "commands/onewriter-64",
            "commands/onewriter-submit",
            "commands/onewriter-many",
        ),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    choice = CHOICES[options.choice]
    entries = [entry for entry in [*COMMANDS, READING_BACK] if entry.key in choice.entries]
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as path:
        folder = Path(path).resolve()
        print(f"{options.choice}: without it, {choice.text}")
        print(machine())
        print(disk(folder), flush=True)
        kept, left_out = measure(choice, entries, folder, options.rounds, options.commands)
    print("", table(entries, kept, left_out), "", sep="\n")
    print(
        "Commands or queries a second; the ratio is the median over the rounds of that within a round, "
        "with its spread."
    )
    return 0


def measure(
    choice: Choice, entries: Sequence[CommandEntry], folder: Path, rounds: int, commands: int
) -> tuple[Results, Results]:
    """The rates with the choice and without it, in turn; in turned order every other round."""
    kept, left_out = Results(), Results()
    for number in range(rounds):
        for entry in entries:
            show_progress(f"round {number + 1} of {rounds}: {entry.label}")
            total = max(int(commands * entry.times), PRODUCTS)
            measure_one = measure_read_back if entry.key == READ_BACK else measure_commands
            ways = ((kept, nullcontext()), (left_out, without(choice)))
            for results, way in ways if number % 2 == 0 else reversed(ways):
                with tempfile.TemporaryDirectory(dir=folder) as own, way:
                    measure_one(entry, Path(own), number, total, results)
    show_progress("")
    return kept, left_out


def measure_read_back(
    entry: CommandEntry, folder: Path, round_number: int, total: int, results: Results
) -> None:
    """How many queries a second one caller could ask that each wait for its last receipt."""
    waits = []
    with opened(folder / "shop", REPLICAS, "thread") as system:
        for command in commands_for(0, 1, total):
            receipt = system.execute(command)
            started = time.perf_counter()
            system.query(ProductBySku(command.sku), after=receipt)
            waits.append(time.perf_counter() - started)
    results.add(entry.key, round_number, 1 / statistics.median(waits))


@contextmanager
def without(choice: Choice) -> Iterator[None]:
    """The choice is not made for systems that are opened and closed in this block."""
    patches = [mock.patch.object(module, choice.name, choice.instead) for module in choice.modules]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def table(entries: Sequence[CommandEntry], kept: Results, left_out: Results) -> str:
    """Markdown: the rates of each entry with and without, and how many times as much it is with."""
    rows = []
    for entry in entries:
        for key, label in ((entry.key, entry.label), (entry.key + APPLIED, "… until all have applied")):
            ratio = ratio_of(kept.rates.get(key, {}), left_out.rates.get(key, {}))
            if ratio is None:
                continue
            rates = [f"{range_of(one.rates[key].values()).median:,.0f}" for one in (kept, left_out)]
            rows.append(
                [label + (f", {entry.callers:,} callers" if entry.callers > 1 else ""), *rates, spread(ratio)]
            )
    return markdown(["", "with", "without", "with / without"], rows)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    texts = "; ".join(f"{name}: {choice.text}" for name, choice in CHOICES.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.without", description=__doc__, epilog=f"Without it: {texts}."
    )
    parser.add_argument(
        "choice", choices=list(CHOICES), metavar="CHOICE", help=f"one of {', '.join(CHOICES)}"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="more on a machine whose speed drifts"
    )
    parser.add_argument(
        "--commands", type=int, default=COMMANDS_OF_A_ROUND, metavar="N", help="fewer on a slow disk"
    )
    parser.add_argument("--dir", default=".", metavar="PATH", help="a folder on the disk to measure")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
