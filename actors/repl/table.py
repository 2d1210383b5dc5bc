"""A table of text, as a session shows it. No thread runs this module."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

__all__ = ["Table"]


@dataclass(frozen=True, slots=True)
class Table:
    """Cells are text; the columns in `figures` are aligned to the right. A `title` is a line above."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    figures: frozenset[int] = frozenset()
    title: str = ""

    def titled(self, title: str) -> Self:
        """The same table with a title."""
        return replace(self, title=title)
