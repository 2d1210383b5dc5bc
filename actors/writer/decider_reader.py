"""What a decider may read besides its own stream: its third parameter. The writer's thread, while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime, timedelta
from types import MappingProxyType, UnionType
from typing import Any, Protocol, TypeVar, get_args, overload

from actors.domain.specs import CompiledDomain, StateSpec
from actors.errors import DeciderFailed
from actors.writer.inline_models import InlineRun, not_inline
from storage import TableReader, TableSchema
from storage.log.records import EPOCH
from storage.value_text import short_repr

__all__ = ["DecisionView", "Reader"]

S = TypeVar("S")


class DecisionView(Protocol):
    """What a decider may see of a batch: the effects of all commands before its own. An `Overlay` is one."""

    @property
    def domain(self) -> CompiledDomain: ...

    @property
    def now_us(self) -> int:
        """The time of the decision, in microseconds since 1970 UTC."""

    @property
    def inline(self) -> InlineRun | None:
        """The tables of inline models, None where the domain has none."""

    def entry(self, stream: str, spec: StateSpec | None) -> tuple[Any, int]:
        """A stream's state and version."""

    def tagged(self, tag: str) -> list[Any]:
        """The events with a tag, in order."""


class Reader:
    """A decider's third parameter: other streams' states and inline tables, as the batch so far leaves them.

    One writer decides everything in order, so what is read here can't change before the
    commit. Use it only while the decider runs, in its thread.
    """

    def __init__(self, view: DecisionView) -> None:
        self._view = view
        self._metadata: Mapping[str, Any] | None = None

    @property
    def now(self) -> datetime:
        """The time of the decision, in UTC: the very time that the command's events are recorded with."""
        return EPOCH + timedelta(microseconds=self._view.now_us)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The command's metadata, as passed to `execute`: a read-only copy, empty if there was none."""
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

        Where streams of that template may have several states, name those that are wanted: `read(Open |
        Closed, id)`.
        """
        return self._entry(state, fields, named)[0]

    def version(self, state: type | UnionType, *fields: Any, **named: Any) -> int:
        """The version of that stream; 0 when it is new."""
        return self._entry(state, fields, named)[1]

    def tagged(self, tag: str) -> list[Any]:
        """All events with this tag, in order, the batch's earlier commands included."""
        return self._view.tagged(tag)

    def __getitem__(self, table: TableSchema) -> TableReader:
        """`read[names]`: a table of a model declared with `inline=True`, earlier commands of the batch
        included.
        """
        inline = self._view.inline
        if inline is None:
            raise not_inline(table)
        return inline.read(table)

    def _entry(self, state: Any, fields: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, int]:
        spec = self._view.domain.states.get(state) or self._of_several(state)
        return self._view.entry(spec.stream_for(*fields, **named), spec)

    def _of_several(self, state: Any) -> StateSpec:
        """The one of the classes in a union; they are shapes of one aggregate, whichever it has."""
        known = self._view.domain.states
        specs = [known.get(one) for one in get_args(state)] if isinstance(state, UnionType) else []
        first = specs[0] if specs else None
        if first is None or not all(one is not None and one.cls in first.classes for one in specs):
            raise DeciderFailed(
                f"read() was given {short_repr(state)}, which is not a state of {self._view.domain.name}"
                + (", nor are they all states of one template" if specs else "")
            )
        return first
