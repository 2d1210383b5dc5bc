"""Runs one subject by itself: `--quick`, `--dir` and `--out` as everywhere, its table printed, its figures written.

Runs on the main thread; files are made in a folder that goes away again, also on a plain `kill`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.machine import disk, machine, write_results
from benchmarks.progress import tell
from benchmarks.report import section_page
from benchmarks.section import Section


def options_of(
    program: str,
    description: str | None,
    arguments: Sequence[str] | None,
    add: Callable[[argparse.ArgumentParser], object],
    rounds: bool = True,
) -> argparse.Namespace:
    """The options that every subject has, those that `add` adds, and `--rounds` where it has rounds."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("--quick", action="store_true", help="a small run: does everything work?")
    if rounds:
        parser.add_argument("--rounds", type=int, metavar="N", help="more on a machine whose speed drifts")
    add(parser)
    parser.add_argument("--dir", default=".", metavar="PATH", help="a folder on the disk to measure")
    parser.add_argument("--out", default="build", metavar="PATH", help="where the figures are written")
    return parser.parse_args(arguments)


def run_alone(name: str, options: argparse.Namespace, make: Callable[[Path], Section]) -> int:
    """Print the section that `make` gives for an empty folder, and write it as `name`.md, `name`.json and plots."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as place:
        folder = Path(place).resolve()
        print(machine())
        print(disk(folder), flush=True)
        section = make(folder)
    tell("")
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    page = section_page(section, [draw(out) for draw in section.plots])
    print(f"\n{page}\n")
    settings = {key: value for key, value in vars(options).items() if key not in ("dir", "out")}
    print(f"Written to {write_results(out, name, settings, section.figures, page)}")
    return 0
