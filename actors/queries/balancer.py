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
    """Where the calling thread begins to look: threads take turns, so that few of them meet."""

    def __init__(self, turns: Iterator[int]) -> None:
        self.number = next(turns)


class Balancer:
    """The least loaded among the given replicas' query actors; a caller's thread stays with one for as long as that is idle.

    It is warm then, its thread as well as what it read; taking turns among idle ones costs a caller a tenth.
    """

    def __init__(self, endpoints: Sequence[QueryEndpoint]) -> None:
        self._endpoints: dict[str, list[QueryEndpoint]] = {}
        for endpoint in endpoints:
            self._endpoints.setdefault(endpoint.replica, []).append(endpoint)
        self._turn = itertools.count()
        self._start = _StartIndex(itertools.count())

    def move_on(self) -> None:
        """Have the calling thread begin at another one from now on: what it picked last turned out to be no good."""
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
        """The replicas none of whose query actors has been done with a query for so long. The supervisor's thread."""
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
