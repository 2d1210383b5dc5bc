"""What a query actor is asked: queries that are answered together. Made in callers' threads, answered in a query actor's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import InvalidStateError
from typing import Any

from actors.domain.read_model import ReadModel
from actors.domain.specs import QuerySpec
from actors.kernel.mailbox import Request
from actors.kernel.reply import Reply
from actors.queries.query_endpoint import QueryEndpoint

__all__ = ["QueryJob", "all_inline"]


def all_inline(models: Mapping[str, ReadModel]) -> bool:
    """Whether the writer keeps all of these models itself."""
    for model in models.values():  # A plain loop: each query and view asks.
        if not model.inline:
            return False
    return bool(models)


class QueryJob(Request):
    """Queries that are answered on one snapshot, which has `target` at least applied in each model.

    `seen` and `newest` are the lowest and the highest checkpoint of the models read, set before the future is.
    `keys` are those of the result cache, None where it is not asked. With `inline` it reads the writer's own tables,
    which no replica needs to have caught up with. `endpoint` is the query actor that it
    was given to last, None while it looks for one; `retry` is what a replica calls that may be fresh enough then, None
    where none has to.
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
        self.future: Reply[list[Any]] = Reply()
        self.keys: list[bytes | None] | None = None
        self.endpoint: QueryEndpoint | None = None
        self.retry: Callable[[], None] | None = None
        self.seen = 0
        self.newest = 0

    def unfit(self, floor: int) -> bool:
        """Whether the snapshot lacks what the caller asked for, or the replica's `floor`, or shows several moments."""
        seen = self.seen
        return seen < self.target or seen < floor or seen != self.newest

    def answer(self, outcome: list[Any] | Exception) -> None:
        """Give the caller the results, or the error, unless it went away."""
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
