"""One part of the report: what was done, its table, its figures and its plots. Plain data.

Every subject gives one, whatever it measures and in however many processes: `python -m benchmarks` renders
it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Section:
    """A subject's part of the report.

    `text` is Markdown that says what was done and how; the cells of `rows` are text as they are to be shown.
    `figures` are flat numbers by a key such as "ycsb/a/onewriter/ops_per_second", for results.json and for
    baselines. Each of `plots` writes one SVG file into the folder that it is given and returns its name.
    `subsections` have tables of their own; their figures are among those of the whole.
    """

    title: str
    text: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    figures: dict[str, float] = field(default_factory=dict)
    plots: list[Callable[[Path], str]] = field(default_factory=list)
    subsections: list[Section] = field(default_factory=list)
