"""What a decider may read beside its own stream: the third parameter. The writer's thread, while the decider runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.errors import DeciderFailed
from actors.writer.inline import not_inline
from storage import TableReader, TableSchema

if TYPE_CHECKING:
    from actors.writer.deciding import Overlay

__all__ = ["Reader"]


class Reader:
    """A decider's third parameter: other streams' states and inline tables, as the batch so far leaves them.

    One writer decides everything in order, so what is read here can't change before the
    commit. Use it only while the decider runs, in its thread.
    """

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay

    def __call__(self, state: type, *fields: Any, **named: Any) -> Any:
        """The state of the stream that `state`'s template names with these fields, or None."""
        return self._entry(state, fields, named)[0]

    def version(self, state: type, *fields: Any, **named: Any) -> int:
        """The version of that stream; 0 when it is new."""
        return self._entry(state, fields, named)[1]

    def tagged(self, tag: str) -> list[Any]:
        """All events with this tag, in order, the batch's earlier commands included."""
        return self._overlay.tagged(tag)

    def __getitem__(self, table: TableSchema) -> TableReader:
        """A table of a model declared with `inline=True`, the batch's earlier commands included: `read[names]`."""
        inline = self._overlay.inline
        if inline is None:
            raise not_inline(table)
        return inline.read(table)

    def _entry(self, state: type, fields: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, int]:
        spec = self._overlay.domain.states.get(state)
        if spec is None:
            raise DeciderFailed(
                f"read() was given {state!r}, which is not a state of {self._overlay.domain.name}"
            )
        return self._overlay.entry(spec.stream_for(*fields, **named), spec)
