"""The lags as a picture; needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.quantiles import Spread

QUANTILES = {"p50": "-", "p99": "--", "max": ":"}


def plot(path: Path, loads: Sequence[int], lags: Mapping[int, Mapping[int, Spread]]) -> None:
    """Draw lag over load into `path`, an SVG: a colour for each number of replicas, a stroke for each quantile.

    `lags` are by replicas and load in percent.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    colours = pyplot.rcParams["axes.prop_cycle"].by_key()["color"]
    for colour, (replicas, by_load) in zip(colours, sorted(lags.items()), strict=False):
        for name, stroke in QUANTILES.items():
            milliseconds = [getattr(by_load[load], name) * 1e3 for load in loads]
            axes.plot(loads, milliseconds, stroke, color=colour, marker="o", markersize=3)
        axes.plot([], [], color=colour, label=f"{replicas} replica{'s' if replicas > 1 else ''}")
    for name, stroke in QUANTILES.items():
        axes.plot([], [], stroke, color="black", label=name)
    axes.set_yscale("log")
    axes.set_xticks(list(loads))
    axes.set_xlabel("commands a second, in percent of the highest rate")
    axes.set_ylabel("from commit to applied, milliseconds")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(ncols=2, fontsize="small")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
