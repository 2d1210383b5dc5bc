"""SVG plots that are the same for the same figures; matplotlib is imported where it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.ratios import Range

OURS, THEIRS = "tab:blue", "tab:gray"


@contextmanager
def drawn(path: Path, width: float = 7.5, height: float = 4.5, panels: int = 1) -> Iterator[Any]:
    """Axes to draw on, or a row of them, written into `path` at the end, without dates and random names."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with pyplot.rc_context({"svg.hashsalt": "onewriter", "svg.fonttype": "none"}):
        figure, axes = pyplot.subplots(1, panels, figsize=(width, height))
        try:
            yield axes
            figure.tight_layout()
            figure.savefig(path, metadata={"Date": None})
        finally:
            pyplot.close(figure)


def bars(path: Path, rates: Mapping[str, Range], unit: str, ours: str = "onewriter") -> str:
    """A bar for each label with a whisker from the lowest to the highest; those of `ours` in a colour.

    The file's name.
    """
    with drawn(path, height=1.0 + 0.3 * len(rates)) as axes:
        labels = list(rates)
        medians = [rates[label].median for label in labels]
        whiskers = [
            [rates[label].median - rates[label].lowest for label in labels],
            [rates[label].highest - rates[label].median for label in labels],
        ]
        colours = [OURS if ours in label else THEIRS for label in labels]
        axes.barh(range(len(labels)), medians, xerr=whiskers, color=colours, ecolor="black", capsize=2)
        axes.set_yticks(range(len(labels)), labels, fontsize="small")
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlabel(unit)
        axes.grid(visible=True, axis="x", which="both", alpha=0.3)
    return path.name
