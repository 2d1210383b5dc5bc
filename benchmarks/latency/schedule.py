"""When operations are due, fixed before the first of them begins. Pure."""

from __future__ import annotations

from collections.abc import Callable
from math import floor
from random import Random

Schedule = list[float]
"""Moments in seconds from the start, ascending."""


def constant(rate: float, seconds: float, seed: int) -> Schedule:
    """Moments at equal distances; the first of them anywhere within a distance, as the seed says."""
    first = Random(seed).random()
    return [(number + first) / rate for number in range(floor(rate * seconds - first) + 1)]


def poisson(rate: float, seconds: float, seed: int) -> Schedule:
    """Independent arrivals, `rate` a second: the distances are distributed exponentially."""
    distance = Random(seed).expovariate
    moments = []
    moment = distance(rate)
    while moment < seconds:
        moments.append(moment)
        moment += distance(rate)
    return moments


def of_clients(arrivals: str, rate: float, seconds: float, seed: int, clients: int) -> list[Schedule]:
    """A schedule for each client, with `rate` operations a second by all together.

    A rate so low that none would be due gives one operation, at the start: there is always a latency.
    """
    one = ARRIVALS[arrivals]
    schedules = [one(rate / clients, seconds, seed + client) for client in range(clients)]
    if not any(schedules):
        schedules[0] = [0.0]
    return schedules


ARRIVALS: dict[str, Callable[[float, float, int], Schedule]] = {"poisson": poisson, "constant": constant}
