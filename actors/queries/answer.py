"""The answer to a query, or to several on one snapshot. A plain value."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Answer"]


class Answer(NamedTuple):
    """Results, all of one snapshot, and the lowest and the highest position of the models that were read."""

    results: list[Any]
    position: int
    newest: int
