"""What a decider may read beside its own stream: the third parameter. The writer's thread, while the decider runs."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from actors.errors import DeciderFailed
from actors.writer.inline import not_inline
from storage import TableReader, TableSchema

if TYPE_CHECKING:
    from actors.writer.deciding import Overlay

__all__ = ["Reader"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Reader:
    """A decider's third parameter: other streams' states and inline tables, as the batch so far leaves them.

    One writer decides everything in order, so what is read here can't change before the
    commit. Use it only while the decider runs, in its thread.
    """

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay
        self._metadata: Mapping[str, Any] | None = None

    @property
    def now(self) -> datetime:
        """The time of the decision, in UTC: the very time that the command's events are recorded with."""
        return EPOCH + timedelta(microseconds=self._overlay.now_us)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The command's metadata as `execute` was given it, a copy that can't be changed; empty where it had none."""
        return MappingProxyType(deepcopy(dict(self._metadata or {})))

    def for_command(self, metadata: Mapping[str, Any] | None) -> Reader:
        """The same for the next command; for `ask`."""
        self._metadata = metadata
        return self

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
