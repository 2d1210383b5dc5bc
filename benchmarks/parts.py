"""The parts of the report by name; each is imported when its turn comes, as it may need an extra."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.rates import TABLES, Size, rates_section
from benchmarks.section import Section

Part = Callable[[Path, Size], tuple[Section, bool]]
"""From a folder to measure in and how much to a section; False if a piece of it failed."""

SUBJECTS = {
    "lag": "benchmarks.lag.section",
    "replay": "benchmarks.replay.section",
    "rebuild": "benchmarks.rebuild.section",
    "engines": "benchmarks.engines.section",
    "mixes": "benchmarks.mixes.section",
    "latency": "benchmarks.latency.section",
}


def _subject(module: str, folder: Path, size: Size) -> tuple[Section, bool]:
    section: Section = importlib.import_module(module).section(folder, quick=size.quick)
    return section, True


def _growth(folder: Path, size: Size) -> tuple[Section, bool]:
    from benchmarks.growth.section import section

    return section(folder, quick=size.quick, largest=None if size.quick else size.largest), True


def _replicas(folder: Path, size: Size) -> tuple[Section, bool]:
    from benchmarks.replicas.section import section

    if size.quick:
        return section(folder, quick=True), True
    return section(folder, quick=False, events=200_000, seconds=20.0), True


PARTS: dict[str, Part] = {}
PARTS |= {table.name: partial(rates_section, table) for table in TABLES}
PARTS |= {name: partial(_subject, module) for name, module in SUBJECTS.items()}
PARTS["growth"] = _growth
PARTS["replicas"] = _replicas
