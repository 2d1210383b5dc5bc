"""The time of one query, or of several that are asked together, through all that middleware makes of it. Callers' threads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from actors.domain.call_options import checked_call
from actors.domain.middleware import Call
from actors.domain.specs import CompiledDomain
from actors.errors import QueryTimeout
from actors.queries.options import QueryOptions
from actors.queries.query_dispatcher import TIMEOUT

__all__ = ["CallTime"]


class CallTime:
    """Begins when it is made. Each turn of a middleware is asked with what is left."""

    def __init__(self, domain: CompiledDomain, queries: Sequence[Any]) -> None:
        """The time-out of the `queries`, unless the options say otherwise, is the longest that one of their classes has."""
        specs = [domain.queries.get(type(query)) for query in queries]
        self._usual = max((spec.timeout or TIMEOUT for spec in specs if spec is not None), default=TIMEOUT)
        self._began = time.monotonic()

    def options(self, call: Call) -> dict[str, Any]:
        """The options for this turn. Raises `QueryTimeout` where nothing is left, and what `checked_call` does.

        With a time-out of zero nothing is waited for, so the query is asked all the same.
        """
        checked_call(call, QueryOptions, "query")
        timeout = call.options.get("timeout", self._usual)
        left = timeout - (time.monotonic() - self._began)
        if left <= 0 < timeout:
            raise QueryTimeout(
                f"{type(call.message).__name__} was not asked: the {timeout:g} s of its call are over; "
                "give a longer timeout=, or look at what its middleware does"
            )
        return {**call.options, "timeout": max(round(left, 3), 0)}
