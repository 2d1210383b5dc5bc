"""The lags as a picture; needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.durations import Spread
from benchmarks.plots import drawn

QUANTILES = {"p50": "-", "p99": "--", "max": ":"}


def plot(path: Path, loads: Sequence[int], lags: Mapping[str, Mapping[int, Spread]]) -> None:
    """Draw lag over load into `path`, an SVG: a colour for each line, a stroke for each quantile.

    `lags` are by the name of a line, and by load in percent.
    """
    with drawn(path) as axes:
        for number, (line, by_load) in enumerate(sorted(lags.items())):
            colour = f"C{number}"
            for name, stroke in QUANTILES.items():
                milliseconds = [getattr(by_load[load], name) * 1e3 for load in loads]
                axes.plot(loads, milliseconds, stroke, color=colour, marker="o", markersize=3)
            axes.plot([], [], color=colour, label=line)
        for name, stroke in QUANTILES.items():
            axes.plot([], [], stroke, color="black", label=name)
        axes.set_yscale("log")
        axes.set_xticks(list(loads))
        axes.set_xlabel("commands a second, in percent of the highest rate")
        axes.set_ylabel("from commit to applied, milliseconds")
        axes.grid(visible=True, which="both", alpha=0.3)
        axes.legend(ncols=2, fontsize="small")
