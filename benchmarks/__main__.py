"""`python -m benchmarks`: measures onewriter and its peers in one run and prints the tables.

It never fails for being slow: the exit code tells only whether every peer could be run.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import measure
from benchmarks.machine import disk, machine
from benchmarks.report import aims_table, promises, rates_table
from benchmarks.suite import AIMS, COMMANDS, QUERIES, RANGES
from benchmarks.workload import PRODUCTS


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    # The folders and the servers of the peers go away on a plain `kill` too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    quick = options.quick
    rounds = options.rounds or (1 if quick else 3)
    commands = options.commands or (1_500 if quick else 10_000)
    queries = options.queries or (2_000 if quick else 50_000)
    if commands < PRODUCTS:
        raise SystemExit(f"--commands must be at least {PRODUCTS}: each product is listed once")

    chosen = [
        entry
        for entry in (*COMMANDS, *QUERIES, *RANGES)
        if not options.only or any(part in entry.key for part in options.only)
    ]
    if not chosen:
        raise SystemExit(f"nothing to measure is named like {' or '.join(options.only)}; see --list")
    if options.list:
        print("\n".join(entry.key for entry in chosen))
        return 0

    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as name:
        folder = Path(name).resolve()
        print(f"{commands:,} commands and {queries:,} queries each, {PRODUCTS:,} products, rounds: {rounds}")
        print(machine())
        print(disk(folder), flush=True)
        results, sound = measure(chosen, folder=folder, rounds=rounds, commands=commands, queries=queries)

    tables = [
        ("Commands a second", COMMANDS, "commands/eventsourcing-1", "eventsourcing"),
        ("Queries a second, by key", QUERIES, "queries/lmdb-key", "raw LMDB"),
        ("Queries a second, ranges", RANGES, "queries/lmdb-range", "raw LMDB"),
    ]
    for title, entries, base, base_name in tables:
        shown = [entry for entry in entries if entry in chosen]
        if shown:
            print("", *rates_table(title, shown, base, base_name, results), sep="\n")
    print("", *aims_table(AIMS, results), sep="\n")
    print("\nWhat each promises for commands", *promises(COMMANDS, results), sep="\n")
    print("What each does for queries", *promises([*QUERIES, *RANGES], results), sep="\n")
    print("Ratios are medians over the rounds of the ratio within a round.")
    return 0 if sound else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small round: does everything run?")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="PART", help="entries with this in their name"
    )
    parser.add_argument("--list", action="store_true", help="print the names of the entries, measure nothing")
    parser.add_argument("--rounds", type=int, metavar="N", help="more on a machine whose speed drifts")
    parser.add_argument("--commands", type=int, metavar="N", help="fewer on a slow disk")
    parser.add_argument("--queries", type=int, metavar="N", help="more on a fast machine")
    parser.add_argument(
        "--dir",
        default=".",
        metavar="PATH",
        help="a folder on the disk to measure (default: the current one)",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
