"""What a query actor in a worker process is asked, as the parent knows it. Callers' threads, and the "
"proxies'."""

from __future__ import annotations

from typing import Any

from actors.errors import QueryFailed
from actors.queries.query_job import QueryJob

__all__ = ["RemoteQueryJob"]

MAX_DEATHS = 3
"""Workers that may die during a query before it is taken for the cause."""


class RemoteQueryJob(QueryJob):
    """Queries for a worker. `is_leader` says that its caller's thread reads the answers; `deaths` counts the
    workers that died during it.

    `body` is the queries as they are sent, `took` how long the worker took, in seconds.
    """

    __slots__ = ("body", "deaths", "is_leader", "took")

    def __init__(self, queries: list[Any], deadline: float, target: int = 0) -> None:
        super().__init__(queries, deadline, target)
        self.body = b""
        self.is_leader = False
        self.deaths = 0
        self.took = 0.0

    def note_death(self, why: str) -> bool:
        """Its worker died. Whether it may be sent to another one; if not, it is answered with an error."""
        self.deaths += 1
        if self.deaths < MAX_DEATHS:
            return True
        names = ", ".join(dict.fromkeys(spec.name for _, spec in self.queries))
        self.answer(
            QueryFailed(
                f"query {names} was given to {self.deaths} worker processes, and each died before it "
                f"answered (the last: {why}); it may be the reason"
            )
        )
        return False
