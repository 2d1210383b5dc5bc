"""What type checkers know of a query: its result is what its `run` returns. Nothing here runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from actors.queries.view import View

__all__ = ["Query", "Result"]

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class Query(Protocol[Result_co]):
    """A class under `@domain.query(reads=...)`."""

    def run(self, view: View, /) -> Result_co:
        """Answers the query."""
        ...
