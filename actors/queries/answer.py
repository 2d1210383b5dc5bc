"""What a query, or several on one snapshot, gave. A plain value."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Answer"]


class Answer(NamedTuple):
    """Results, all on one snapshot, and the lowest and highest position of the models that they were read from."""

    results: list[Any]
    position: int
    newest: int
