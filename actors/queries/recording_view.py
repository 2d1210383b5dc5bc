"""Which tables a query touched, and between which positions they are the same. The query actor's thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from actors.domain.read_model import ReadModel
from actors.queries.view import View
from storage import Snapshot

__all__ = ["RecordingView", "spans_of", "Span", "States"]


class States(Protocol):
    """What is known of a replica's tables at one moment, or of those of a snapshot."""

    def build(self, model: str) -> str:
        """Which of the model's builds it is."""

    def checkpoint(self, model: str) -> int:
        """The position up to which the model goes."""

    def changed(self, model: str, name: str = "") -> int:
        """The position that last changed a table, or anything of the model, or a later one."""


class Span(NamedTuple):
    """The positions between which a table is known to be the same; `name` is "" for the whole model."""

    model: str
    name: str
    build: str
    changed: int
    checkpoint: int

    def holds(self, state: States) -> bool:
        """Whether the table is the same in `state`."""
        model = self.model
        return (
            self.changed <= state.checkpoint(model)
            and state.changed(model, self.name) <= self.checkpoint
            and state.build(model) == self.build
        )


class RecordingView(View):
    """A view that notes which tables one query touches.

    `touched` is None once the query read something else on which its answer may depend, such as the position.
    What it read from a database is known by the database's connection.
    """

    __slots__ = ("touched",)

    def __init__(self, snapshot: Snapshot, models: Mapping[str, ReadModel], *, lend: bool = False) -> None:
        super().__init__(snapshot, models, lend=lend)
        self.touched: set[tuple[str, str]] | None = set()

    def _open(self, key: Any) -> Any:
        try:
            opened = super()._open(key)
        except BaseException:
            self.touched = None  # The query may catch that.
            raise
        if self.touched is not None:
            self.touched.add(self._owner(key))
        return opened

    def version(self, model: ReadModel) -> int:
        """As `View.version`; another build makes the result stale."""
        if self.touched is not None:
            self.touched.add((model.name, ""))
        return super().version(model)

    def position(self, model: ReadModel | None = None) -> int:
        """As `View.position`; the position moves with every event, so the result is not kept."""
        self.touched = None
        return super().position(model)

    def newest(self) -> int:
        """As `View.newest`; as with `position`."""
        self.touched = None
        return super().newest()

    @property
    def opened(self) -> float:
        """As `View.opened`; every view has another one, so the result is not kept."""
        self.touched = None
        return super().opened

    def counted(self) -> bool:
        """Whether its result depends on nothing but the tables that it touched."""
        if self._snapshot.read_failed:
            return False  # The query may have made an answer of the error.
        # Imported here: it is SQLite's, and only what is cached is asked.
        from storage.engines.sqlite.snapshot import ReadConnection

        return self.touched is not None and not any(
            isinstance(target, ReadConnection) and target.uncacheable for target in self._opened.values()
        )


def spans_of(view: RecordingView, snapshot: States) -> tuple[Span, ...] | None:
    """The spans of the tables that a query touched on a snapshot; None if its result can't be cached."""
    touched = view.touched
    if touched is None or not view.counted():
        return None
    return tuple(
        Span(model, name, snapshot.build(model), snapshot.changed(model, name), snapshot.checkpoint(model))
        for model, name in touched
    )
