"""What a decider may read beside its own stream: the third parameter. The writer's thread, while the decider runs."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from types import MappingProxyType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, overload

from actors.errors import DeciderFailed
from actors.writer.inline_models import not_inline
from storage import TableReader, TableSchema
from storage.value_text import shown

if TYPE_CHECKING:
    from actors.domain.specs import StateSpec
    from actors.writer.overlay import Overlay

__all__ = ["Reader"]

S = TypeVar("S")
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

    @overload
    def __call__(self, state: type[S], *fields: Any, **named: Any) -> S | None: ...
    @overload
    def __call__(self, state: UnionType, *fields: Any, **named: Any) -> Any: ...
    def __call__(self, state: Any, *fields: Any, **named: Any) -> Any:
        """The state of the stream that `state`'s template names with these fields, or None.

        Where streams of that template may have several states, name those that are wanted: `read(Open | Closed, id)`.
        """
        return self._entry(state, fields, named)[0]

    def version(self, state: type | UnionType, *fields: Any, **named: Any) -> int:
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

    def _entry(self, state: Any, fields: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, int]:
        spec = self._overlay.domain.states.get(state) or self._of_several(state)
        return self._overlay.entry(spec.stream_for(*fields, **named), spec)

    def _of_several(self, state: Any) -> StateSpec:
        """The one of the classes in a union; they are shapes of one aggregate, whichever it has."""
        known = self._overlay.domain.states
        specs = [known.get(one) for one in get_args(state)] if isinstance(state, UnionType) else []
        first = specs[0] if specs else None
        if first is None or not all(one is not None and one.cls in first.classes for one in specs):
            raise DeciderFailed(
                f"read() was given {shown(state)}, which is not a state of {self._overlay.domain.name}"
                + (", nor are they all states of one template" if specs else "")
            )
        return first
