"""Choosing the query actor that answers: pure, called in the caller's thread."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Iterable, Iterator, Sequence

from actors.queries.query_endpoint import QueryEndpoint

__all__ = ["Balancer"]


class _StartIndex(threading.local):
    """Where the calling thread starts to look: each thread at another one, so that few of them meet."""

    def __init__(self, turns: Iterator[int]) -> None:
        self.number = next(turns)


class Balancer:
    """Picks the least loaded of some replicas' query actors. A caller's thread stays with one while that is
    idle: its thread and what it read are warm, and taking turns among idle ones costs a caller a tenth.
    """

    def __init__(self, endpoints: Sequence[QueryEndpoint]) -> None:
        self._endpoints: dict[str, list[QueryEndpoint]] = {}
        for endpoint in endpoints:
            self._endpoints.setdefault(endpoint.replica, []).append(endpoint)
        self._turn = itertools.count()
        self._start = _StartIndex(itertools.count())

    def move_on(self) -> None:
        """Have the calling thread start at another one: the last one that it picked could not answer."""
        self._start.number += 1

    def pick(self, replicas: Iterable[str]) -> QueryEndpoint:
        """A query actor on one of these replicas, of which there is at least one."""
        endpoints = [endpoint for name in replicas for endpoint in self._endpoints[name]]
        first = self._start.number % len(endpoints)
        best = endpoints[first]
        lowest = best.load()
        if lowest:
            for endpoint in endpoints[first + 1 :] + endpoints[:first]:
                load = endpoint.load()
                if load < lowest:
                    best, lowest = endpoint, load
                    if not load:
                        break
        return best

    def occupied(self, seconds: float) -> list[str]:
        """The replicas whose query actors all have been at one query for so long. The supervisor's thread."""
        limit = time.monotonic() - seconds
        return [
            replica
            for replica, endpoints in self._endpoints.items()
            if all(_since(endpoint) < limit for endpoint in endpoints)
        ]

    def next_replica(self, replicas: Sequence[str]) -> str:
        """A replica for a view, in turn."""
        return replicas[next(self._turn) % len(replicas)]


def _since(endpoint: QueryEndpoint) -> float:
    activity = endpoint.stats.activity
    return math.inf if activity is None else activity[1]
