"""A session: a caller that reads its own writes and never goes back in time, whatever replica answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.consistency import position_of

if TYPE_CHECKING:
    from types import TracebackType

    from actors.messages import Receipt
    from actors.system import System

__all__ = ["Session"]


class Session:
    """Commands and queries of one caller, from `System.session()`.

    Each query sees at least what this session's commands wrote and what its earlier queries
    saw. Meant for one thread at a time; make one for each user or request.
    """

    def __init__(self, system: System, position: int = 0) -> None:
        self._system = system
        self.position = position

    def execute(self, command: Any, **options: Any) -> Receipt:
        """As `System.execute`; queries of this session see it."""
        receipt = self._system.execute(command, **options)
        self.position = max(self.position, receipt.position)
        return receipt

    async def aexecute(self, command: Any, **options: Any) -> Receipt:
        """As `System.aexecute`; queries of this session see it."""
        receipt = await self._system.aexecute(command, **options)
        self.position = max(self.position, receipt.position)
        return receipt

    def query(self, query: Any, **options: Any) -> Any:
        """As `System.query`, no older than what this session wrote or saw."""
        result, seen = self._system.query_at(query, after=self._after(options), **options)
        self.position = max(self.position, seen)
        return result

    async def aquery(self, query: Any, **options: Any) -> Any:
        """As `System.aquery`, no older than what this session wrote or saw."""
        result, seen = await self._system.aquery_at(query, after=self._after(options), **options)
        self.position = max(self.position, seen)
        return result

    def _after(self, options: dict[str, Any]) -> int:
        given = options.pop("after", None)
        return self.position if given is None else max(self.position, position_of(given))

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to release: a session is a position."""
