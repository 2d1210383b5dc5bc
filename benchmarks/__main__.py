"""`python -m benchmarks`: measures onewriter and its peers in one run and writes a report with plots.

It never fails for being slow: the exit code tells only whether everything could be run. The report is written
again after each part, so that one that fails, or a run that is broken off, loses none of the others.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.aims import AIMS, judged
from benchmarks.machine import environment
from benchmarks.parts import PARTS
from benchmarks.rates import TABLES, Size
from benchmarks.report import aims_table, report_page, section_page
from benchmarks.section import Section
from benchmarks.workload import PRODUCTS


@dataclass
class Report:
    """What was measured up to now, and the folder that it goes into."""

    folder: Path
    environment: dict[str, str]
    settings: dict[str, Any]
    started: float = field(default_factory=time.perf_counter)
    sections: dict[str, Section] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, section: Section, seconds: float) -> None:
        """Draw a part's plots and write the report."""
        drawn = []
        for plot in section.plots:
            try:
                drawn.append(plot(self.folder))
            except ModuleNotFoundError as error:
                self.failed[f"{name}, plot"] = f"not installed: {error}"
        self.sections[name] = section
        self.seconds[name] = seconds
        self.pages[name] = section_page(section, drawn)
        self.write()

    def fail(self, name: str, error: Exception) -> None:
        """Note that a part failed and write the report without it."""
        self.failed[name] = f"{type(error).__name__}: {error}"
        self.pages[name] = f"## {name}\n\nNot measured: {self.failed[name]}"
        self.write()

    def write(self) -> None:
        """report.md and results.json."""
        figures = self.figures()
        took = time.perf_counter() - self.started
        aims = judged(AIMS, figures)
        quick = bool(self.settings["quick"])
        page = report_page(self.environment, aims, self.pages.values(), took, quick=quick)
        (self.folder / "report.md").write_text(page)
        content = {
            "environment": self.environment,
            "settings": self.settings,
            "seconds": self.seconds,
            "failed": self.failed,
            "figures": figures,
        }
        (self.folder / "results.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def figures(self) -> dict[str, float]:
        """Those of all parts."""
        return {key: value for section in self.sections.values() for key, value in section.figures.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    # The folders and the servers of the peers go away on a plain `kill` too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    size = Size(
        quick=options.quick,
        rounds=options.rounds or (1 if options.quick else 5),
        commands=options.commands or (1_500 if options.quick else 10_000),
        queries=options.queries or (2_000 if options.quick else 50_000),
        only=tuple(options.only),
        largest=options.largest,
    )
    if size.commands < PRODUCTS:
        raise SystemExit(f"--commands must be at least {PRODUCTS}: each product is listed once")
    names = _chosen(options.parts, size.only)
    if options.list:
        _list(names, size.only)
        return 0

    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    sound = True
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as path:
        folder = Path(path).resolve()
        settings = {"quick": options.quick, "parts": names, "rounds": size.rounds, "commands": size.commands}
        settings |= {"queries": size.queries, "only": list(size.only), "largest": size.largest}
        report = Report(out, environment(folder), settings)
        for text in report.environment.values():
            print(text, flush=True)
        for name in names:
            started = time.perf_counter()
            try:
                with tempfile.TemporaryDirectory(dir=folder) as own:
                    section, complete = PARTS[name](Path(own), size)
            except Exception as error:
                traceback.print_exc()
                report.fail(name, error)
                sound = False
                continue
            report.add(name, section, time.perf_counter() - started)
            sound = sound and complete
            print(f"\n{report.pages[name]}", flush=True)
    print("\n## Aims\n", aims_table(judged(AIMS, report.figures())), sep="\n")
    print(*(f"{name}: {reason}" for name, reason in report.failed.items()), sep="\n")
    print(f"Written to {out / 'report.md'}, in {time.perf_counter() - report.started:.0f} s")
    return 0 if sound else 1


def _chosen(parts: Sequence[str], only: Sequence[str]) -> list[str]:
    """The parts to measure; those that are named, or with `only` those that have such entries, or all."""
    if unknown := sorted(set(parts) - set(PARTS)):
        raise SystemExit(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    names = [name for name in PARTS if not parts or name in parts]
    if not only:
        return names
    with_entries = {table.name for table in TABLES if table.chosen(only)}
    names = [name for name in names if name in with_entries]
    if not names:
        raise SystemExit(f"nothing to measure is named like {' or '.join(only)}; see --list")
    return names


def _list(names: Sequence[str], only: Sequence[str]) -> None:
    entries = {table.name: [entry.key for entry in table.chosen(only)] for table in TABLES}
    for name in names:
        print(name, *(f"  {key}" for key in entries.get(name, [])), sep="\n")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="everything once and small: does it run?")
    parser.add_argument("--parts", nargs="+", default=[], metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="entries of the tables with this in their name"
    )
    parser.add_argument("--list", action="store_true", help="print what there is, measure nothing")
    parser.add_argument("--rounds", type=int, metavar="N", help="more on a machine whose speed drifts")
    parser.add_argument("--commands", type=int, metavar="N", help="fewer on a slow disk")
    parser.add_argument("--queries", type=int, metavar="N", help="more on a fast machine")
    parser.add_argument(
        "--largest",
        type=int,
        default=10_000_000,
        metavar="N",
        help="events of the largest store: less is faster",
    )
    parser.add_argument(
        "--dir",
        default=".",
        metavar="PATH",
        help="a folder on the disk to measure (default: the current one)",
    )
    parser.add_argument("--out", default="bench-report", metavar="PATH", help="where the report is written")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
