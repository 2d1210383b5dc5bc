"""When operations are due, fixed before the first of them begins. Pure."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Schedule = list[float]
"""Moments in seconds from the start, ascending."""


def constant(rate: float, seconds: float, seed: int) -> Schedule:
    """Moments at equal distances; the first of them anywhere within a distance, as the seed says."""
    first = Random(seed).random()
    return [(number + first) / rate for number in range(int(rate * seconds - first) + 1)]


def poisson(rate: float, seconds: float, seed: int) -> Schedule:
    """Independent arrivals, `rate` a second: the distances are distributed exponentially."""
    distance = Random(seed).expovariate
    moments = []
    moment = distance(rate)
    while moment < seconds:
        moments.append(moment)
        moment += distance(rate)
    return moments


ARRIVALS: dict[str, Callable[[float, float, int], Schedule]] = {"poisson": poisson, "constant": constant}
