"""Figures that are kept, and whether later ones are better or worse than those, or only noise.

Pure but for the file.

All figures are ratios to the bare loop, measured beside each, so that the speed of the machine cancels out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.ratios import range_of

BETTER, SAME, WORSE, NEW = "better", "same", "worse", "new"

CERTAIN = 0.95
"""The share of the pairs of a round of now and a round of then that has to say the same."""


@dataclass(frozen=True)
class Baseline:
    """What one run found: of each figure the ratios of all rounds."""

    environment: Mapping[str, str]
    settings: Mapping[str, Any]
    ratios: Mapping[str, Sequence[float]]

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        content = {
            "environment": dict(self.environment),
            "settings": dict(self.settings),
            "ratios": {key: [float(f"{ratio:.4g}") for ratio in found] for key, found in self.ratios.items()},
        }
        path.write_text(json.dumps(content, indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises ValueError for a file that is something else."""
        try:
            content = json.loads(path.read_text())
            return cls(content["environment"], content["settings"], content["ratios"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no baseline: {error!r}; make one with --save") from None


@dataclass(frozen=True)
class Compared:
    """The ratios of one figure now and then; without those of then, the baseline does not have it."""

    key: str
    now: Sequence[float]
    then: Sequence[float] = ()

    @property
    def change(self) -> float | None:
        """How many times as much it is now, by the medians."""
        return range_of(self.now).median / range_of(self.then).median if self.then else None

    @property
    def verdict(self) -> str:
        """Better or worse only if nearly every round of now is on that side of nearly every round of then.

        This is the Mann-Whitney test: with seven rounds each, two runs of the same thing are told apart by
        mistake once in 400 times.
        """
        if not self.then:
            return NEW
        more = sum(one > other for one in self.now for other in self.then)
        less = sum(one < other for one in self.now for other in self.then)
        needed = CERTAIN * len(self.now) * len(self.then)
        return BETTER if more >= needed else WORSE if less >= needed else SAME


def compared(now: Mapping[str, Sequence[float]], then: Mapping[str, Sequence[float]]) -> list[Compared]:
    """Each figure of now with that of then."""
    return [Compared(key, found, then.get(key, ())) for key, found in now.items()]


def below(found: Sequence[Compared], share: float) -> list[Compared]:
    """The figures that are worse than noise explains, and less than this share of what they were."""
    return [one for one in found if one.verdict == WORSE and one.change is not None and one.change < share]
