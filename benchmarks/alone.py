"""Runs one subject by itself, with the same options for all: its table is printed, its figures are written.

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
from benchmarks.progress import show_progress
from benchmarks.report import section_page
from benchmarks.section import Section


def run_alone(
    name: str,
    section: Callable[..., Section],
    description: str | None,
    arguments: Sequence[str] | None,
    add: Callable[[argparse.ArgumentParser], object],
    *,
    rounds: bool = True,
) -> int:
    """Print what `section` finds in an empty folder, and write it as `name`.md, `name`.json and plots.

    It is called with `quick` and with each option that `add` adds, by its name; with `rounds` too, if it has
    some.
    """
    options = vars(_options_of(f"benchmarks.{name}", description, arguments, add, rounds))
    folder, out = options.pop("dir"), Path(options.pop("out"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=folder) as path:
        own = Path(path).resolve()
        print(machine())
        print(disk(own), flush=True)
        found = section(own, **options)
    show_progress("")
    out.mkdir(parents=True, exist_ok=True)
    page = section_page(found, [draw(out) for draw in found.plots])
    print(f"\n{page}\n")
    print(f"Written to {write_results(out, name, options, found.figures, page)}")
    return 0


def _options_of(
    program: str,
    description: str | None,
    arguments: Sequence[str] | None,
    add: Callable[[argparse.ArgumentParser], object],
    rounds: bool,
) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("--quick", action="store_true", help="a small run: does everything work?")
    if rounds:
        parser.add_argument("--rounds", type=int, metavar="N", help="more on a machine whose speed drifts")
    add(parser)
    parser.add_argument("--dir", default=".", metavar="PATH", help="a folder on the disk to measure")
    parser.add_argument("--out", default="build", metavar="PATH", help="where the figures are written")
    return parser.parse_args(arguments)
