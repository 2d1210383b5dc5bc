"""The time of one query, or of several asked together, in all attempts of middleware. Callers' threads."""

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
    """Starts when it is made. Each attempt of a middleware gets the time that is left."""

    def __init__(self, domain: CompiledDomain, queries: Sequence[Any]) -> None:
        """Unless the options have one, the time-out is the longest of the classes of the queries."""
        specs = [domain.queries.get(type(query)) for query in queries]
        self._usual = max((spec.timeout or TIMEOUT for spec in specs if spec is not None), default=TIMEOUT)
        self._began = time.monotonic()

    def options(self, call: Call) -> dict[str, Any]:
        """The options for this attempt. Raises `QueryTimeout` if no time is left, and what `checked_call`
        does.

        With a time-out of zero nothing waits, so the query is sent all the same.
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
