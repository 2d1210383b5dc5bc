"""Looking after a running `System`: how it is, what is in its log, drills. Callers' threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors._arguments import checked_model
from actors.api.base import Calls
from actors.consistency import position_of
from actors.domain import Domain
from actors.errors import UnknownName
from actors.health import Health
from actors.messages import Receipt
from actors.read_model import ReadModel
from storage import RecordedEvent

__all__ = ["CareCalls"]


class CareCalls(Calls):
    """Health, the log, and what an operator does."""

    def health(self) -> Health:
        """How every part is, at this moment; never waits."""
        return self._running().health()

    @property
    def position(self) -> int:
        """The last committed position."""
        return self._running().progress.head

    @property
    def path(self) -> str:
        """The store's directory."""
        return self._runtime.path

    @property
    def domain(self) -> Domain:
        """The domain that it was opened with."""
        return self._runtime.source

    @property
    def replica_names(self) -> list[str]:
        """The replicas' names, also those of their actors."""
        return list(self._running().stores)

    def stream(self, stream: str, after_version: int = 0, limit: int | None = None) -> list[RecordedEvent]:
        """The events of one stream, read from the log."""
        return self._running().log.read_stream(stream, after_version, limit)

    def streams(self, prefix: str = "", limit: int = 1000, after: str = "") -> list[tuple[str, int]]:
        """The streams whose names begin with `prefix` and sort after `after`, each with its version."""
        return self._running().log.streams(prefix, limit, after)

    def tagged(self, tag: str, after: Receipt | int = 0, limit: int | None = None) -> list[RecordedEvent]:
        """The events with a tag, read from the log."""
        return self._running().log.read_tag(tag, position_of(after), limit)

    def wait_applied(self, after: Receipt | int | None = None, timeout: float = 10.0) -> int:
        """Wait until every replica has applied a position (by default all that is committed); returns it.

        Raises `ConsistencyTimeout`, or `ModelStopped` where waiting is in vain.
        """
        runtime = self._running()
        target = runtime.progress.head if after is None else position_of(after)
        runtime.wait_applied(target, timeout)
        return target

    def kill(self, name: str, timeout: float = 10.0) -> bool:
        """Have an actor die as if it had failed; True once the supervisor has it back. For drills and tests.

        Names are those of `health().actors`; raises `UnknownName`, a `KeyError`, for another.
        """
        return self._running().supervisor.kill(name, timeout)

    def dump(self, replica: str, model: ReadModel) -> dict[str, list[dict[str, Any]]]:
        """All rows of a model on one replica, by table, in key order; for comparisons and exports.

        Raises `UnknownName`, a `KeyError`, for a replica that is not in `replica_names`, `UnknownMessage` for a
        model of another domain.
        """
        runtime = self._running()
        if replica not in list(runtime.stores):
            raise UnknownName("replica", replica, runtime.stores)
        return runtime.stores[replica].dump(checked_model(model, runtime.domain, "dump").name)

    def on_committed(self, listener: Callable[[int, int], None]) -> None:
        """Call `listener(first, last)` after every commit, in the writer's thread: keep it short."""
        self._running().committed_listeners.append(listener)

    def on_broadcast(self, listener: Callable[[int, int], None]) -> None:
        """Call `listener(first, last)` after sync told every replica, in its thread: keep it short."""
        self._running().broadcast_listeners.append(listener)

    def on_applied(self, listener: Callable[[str, int, float], None]) -> None:
        """Call `listener(replica, position, lag in seconds)` after every batch that a replica applied, in its thread."""
        self._running().applied_listeners.append(listener)
