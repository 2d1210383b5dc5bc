"""What a query actor gets: queries to answer together. Made in callers' threads, answered in an actor's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import InvalidStateError
from typing import Any, Protocol

from actors.domain.read_model import ReadModel
from actors.domain.specs import QuerySpec
from actors.kernel.mailbox import Request
from actors.queries.query_endpoint import QueryEndpoint

__all__ = ["JobReply", "QueryJob", "all_inline"]


def all_inline(models: Mapping[str, ReadModel]) -> bool:
    """Whether the writer keeps all of these models itself."""
    for model in models.values():  # A plain loop: each query and view asks.
        if not model.inline:
            return False
    return bool(models)


class JobReply(Protocol):
    """What a job is settled with: a caller's `Reply` or `AsyncReply`, or what sends the answer to another
    process."""

    def done(self) -> bool:
        """Whether there is an answer, or the caller gave up."""
        ...

    def cancelled(self) -> bool:
        """Whether the caller gave up."""
        ...

    def set_result(self, results: list[Any], /) -> None:
        """Answer with the results. Raises `InvalidStateError` if it is done."""
        ...

    def set_exception(self, error: Exception, /) -> None:
        """Answer with the error. Raises `InvalidStateError` if it is done."""
        ...


class QueryJob(Request):
    """Queries that are answered on one snapshot, in which each model has applied at least `target`.

    - `future`: what is settled with the answer, set by the caller that waits for it
    - `seen`, `newest`: the lowest and the highest checkpoint of the models that were read, set before the
      future
    - `keys`: those of the result cache; None if the job is not looked up there
    - `inline`: it reads the writer's own tables, so no replica has to have caught up
    - `endpoint`: the query actor to which it was sent last; None while it looks for one
    - `retry`: is called then by a replica that may be fresh enough; None if that is not needed
    """

    __slots__ = (
        "deadline",
        "endpoint",
        "future",
        "inline",
        "keys",
        "models",
        "newest",
        "queries",
        "retry",
        "seen",
        "target",
    )

    future: JobReply

    def __init__(self, queries: list[tuple[Any, QuerySpec]], deadline: float, target: int = 0) -> None:
        self.queries = queries
        if len(queries) == 1:
            spec = queries[0][1]
            self.models, self.inline = spec.by_name, spec.inline
        else:
            self.models = {model.name: model for _, spec in queries for model in spec.models}
            self.inline = all_inline(self.models)
        self.deadline = deadline
        self.target = target
        self.keys: list[bytes | None] | None = None
        self.endpoint: QueryEndpoint | None = None
        self.retry: Callable[[], None] | None = None
        self.seen = 0
        self.newest = 0

    def unfit(self, floor: int) -> bool:
        """Whether the snapshot is older than `target` or the replica's `floor`, or shows several moments."""
        seen = self.seen
        return seen < self.target or seen < floor or seen != self.newest

    def answer(self, outcome: list[Any] | Exception) -> None:
        """Give the caller the results, or the error, unless it has given up."""
        try:
            if isinstance(outcome, Exception):
                self.future.set_exception(outcome)
            else:
                self.future.set_result(outcome)
        except InvalidStateError:
            pass

    def fail(self, error: Exception) -> None:
        """Answer with an error."""
        self.answer(error)
