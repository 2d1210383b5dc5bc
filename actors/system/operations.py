"""What an operator does with a running `System`: health, the log, rebuilds, skips. Callers' threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.domain.domain import Domain
from actors.domain.lookup import checked_model
from actors.domain.read_model import ReadModel
from actors.errors import ConsistencyTimeout, UnknownName
from actors.health import Health, Rebuild
from actors.kernel.actor import refuse_in_actor
from actors.queries.consistency import position_of
from actors.receipt import Receipt
from actors.replication.replica_status import SnapshotSource
from actors.replication.skipped_events import SkippedEvent, read_skips
from actors.system.arguments import checked_number, checked_page
from actors.system.base import SystemBase
from actors.timeouts import checked_timeout
from storage import RecordedEvent, SnapshotClosed, StoreClosed
from storage.log.stored_events import without_dropped
from storage.log.verification import LogCheck
from storage.value_text import short_repr

__all__ = ["OperationMethods"]


class OperationMethods(SystemBase):
    """Health, the log, rebuilds and skips."""

    def health(self) -> Health:
        """The state of every part at this moment; never waits."""
        self._running()
        return self._runtime.health()

    @property
    def position(self) -> int:
        """The last committed position."""
        return self._running().progress.latest_head()

    def chain_head(self) -> tuple[int, str]:
        """The last committed position and the digest of the chain there, 64 hexadecimal digits; any thread.

        Keep both elsewhere: `verify_log`, or `onewriter verify`, finds out later whether any event up to
        there was changed, removed or inserted.
        """
        return self._running().log.chain_head()

    def verify_log(
        self, chain: tuple[int, str] | None = None, progress: Callable[[int, int], None] | None = None
    ) -> LogCheck:
        """Read all of the log, and return what is wrong in it: records, chain, indexes; any thread.

        `chain` is a former result of `chain_head`. `progress` is called with the number of events that were
        read, and of all. A million events take about 15 seconds, and the file grows meanwhile if much is
        written. Raises ValueError for a `chain` that cannot be one.
        """
        return self._running().log.verify(chain, progress)

    @property
    def path(self) -> str:
        """The store's directory."""
        return self._parts.path

    @property
    def domain(self) -> Domain:
        """The domain that it was opened with."""
        return self._parts.source

    @property
    def replica_names(self) -> list[str]:
        """The names of the replicas, which are also those of their actors."""
        return list(self._running().replicas.slots)

    def stream(
        self,
        stream: str,
        after_version: int = 0,
        limit: int | None = None,
        *,
        undecodable: bool = False,
    ) -> list[RecordedEvent]:
        """The events of one stream, read from the log.

        With `undecodable`, an event that can't be decoded is an `Undecodable`; otherwise the call raises the
        `CodecError`.
        """
        checked_number("stream(after_version=)", after_version)
        checked_number("stream(limit=)", limit)
        log = self._guarded("events", stream=stream).log
        # Where upcasters dropped all of a page, there may be more after it.
        while found := (
            log.decode_records(log.stream_records(stream, after_version, limit), undecodable=True)[0]
            if undecodable
            else log.read_stream(stream, after_version, limit)
        ):
            if kept := without_dropped(found):
                return kept
            after_version = found[-1].version
        return []

    def streams(self, prefix: str = "", limit: int = 1000, after: str = "") -> list[tuple[str, int]]:
        """The streams whose names begin with `prefix` and sort after `after`, each with its version."""
        checked_page("streams", prefix, limit, after)
        return self._guarded("events").log.streams(prefix, limit, after)

    def tagged(
        self,
        tag: str,
        after: Receipt | int = 0,
        limit: int | None = None,
        *,
        undecodable: bool = False,
    ) -> list[RecordedEvent]:
        """The events with a tag, read from the log; `undecodable` as for `stream`."""
        checked_number("tagged(limit=)", limit)
        log, position = self._guarded("events").log, position_of(after)
        while found := (
            log.decode_records(log.tag_records(tag, position, limit), tag=tag, undecodable=True)[0]
            if undecodable
            else log.read_tag(tag, position, limit)
        ):
            if kept := without_dropped(found):
                return kept
            position = found[-1].position
        return []

    def wait_applied(self, after: Receipt | int | None = None, timeout: float = 10.0) -> int:
        """Wait until every replica has applied a position, by default the last committed one; returns it.

        Raises `ConsistencyTimeout`, or `ModelStopped` if a model is stopped, so that waiting would not help.
        """
        parts = self._running()
        refuse_in_actor("wait_applied", parts.progress)
        checked_timeout(timeout, "wait_applied")
        target = parts.progress.latest_head() if after is None else position_of(after)
        self._runtime.wait_applied(target, timeout)
        return target

    def kill(self, name: str, timeout: float = 10.0) -> bool:
        """End an actor as if it had failed; True once the supervisor has restarted it. For drills and tests.

        The names are those of `health().actors`. Raises `UnknownName`, a `KeyError`, for another.
        """
        refuse_in_actor("kill", self._running().progress)
        checked_timeout(timeout, "kill")
        return self._runtime.supervisor.kill(name, timeout)

    def dump(self, replica: str, model: ReadModel) -> dict[str, list[dict[str, Any]]]:
        """All rows of a model on one replica, by table, in key order; for comparisons and exports.

        Raises `UnknownName`, a `KeyError`, for a replica that is not in `replica_names` or does not have the
        model, `UnknownMessage` for a model of another domain, `StoreClosed` while the replica is reset, and
        `QueryTimeout` if a worker process does not send them within a minute.
        """
        store, name = self._model_on(replica, model, "dump")
        self._guarded("view", (name,))
        try:
            return store.dump(name)
        except SnapshotClosed as error:
            raise StoreClosed(f"{replica} was reset while it was read; dump it again") from error

    def _model_on(self, replica: str, model: ReadModel, call: str) -> tuple[SnapshotSource, str]:
        parts = self._running()
        stores = parts.replicas.stores
        if replica not in list(stores):
            raise UnknownName("replica", replica, stores)
        name = checked_model(model, parts.domain, call).name
        if name not in parts.progress.replicas[replica]:
            raise UnknownName(f"model on {replica}", name, parts.progress.replicas[replica])
        return stores[replica], name

    def digest(self, replica: str, model: ReadModel) -> tuple[int, str]:
        """The position of a model of tables on one replica, and a digest of all its rows there.

        Two replicas with the same position and the same version of the model have the same digest, or differ.
        It reads all rows, at one moment. Raises as `dump` does, and `InvalidSchema` for a model that is not
        kept in tables.
        """
        store, name = self._model_on(replica, model, "digest")
        try:
            with store.snapshot([name]) as snapshot:
                return snapshot.checkpoint(name), snapshot.digest(name)
        except SnapshotClosed as error:
            raise StoreClosed(f"{replica} was reset while it was read; ask again") from error

    def rebuild(self, model: ReadModel, *, wait: bool = False, timeout: float | None = None) -> None:
        """Fill a model from the log again, beside the build that serves, and switch to the new one.

        This is for tables that a fixed projection fills in another way; a new `version=` needs no call. A
        rebuild that is running continues. Replicas build one after another; `rebuilds()` shows their
        progress. Returns once all have started, or with `wait` once each replica serves its new build.

        Raises `ConsistencyTimeout` if that takes more than `timeout` seconds (it continues), `ModelStopped`
        if a build stops at an event (the build that served before still does), `UnknownMessage`,
        `WrongThread`.
        """
        parts = self._running()
        refuse_in_actor("rebuild", parts.progress)
        if timeout is not None:
            checked_timeout(timeout, "rebuild")
        name = checked_model(model, parts.domain, "rebuild").name
        self._runtime.rebuilds.start(name)
        if wait:
            self.wait_rebuilt(model, timeout)

    def wait_rebuilt(self, model: ReadModel, timeout: float | None = None) -> None:
        """Wait until each replica serves the newest build of a model: of a new version, or a forced one.

        Raises as `rebuild` does.
        """
        parts = self._running()
        refuse_in_actor("wait_rebuilt", parts.progress)
        if timeout is not None:
            checked_timeout(timeout, "wait_rebuilt")
        name = checked_model(model, parts.domain, "wait_rebuilt").name
        if not self._runtime.rebuilds.wait(name, timeout):
            raise ConsistencyTimeout(
                f"model {name!r} was not rebuilt on every replica within {timeout:g} s: "
                f"{self._runtime.rebuilds.left(name)}; it goes on, see rebuilds()"
            )

    def rebuilds(self) -> tuple[Rebuild, ...]:
        """The builds that are being filled beside those that serve, by replica; never waits."""
        self._running()
        return self._runtime.rebuilds.all()

    def skip_event(self, model: ReadModel, position: int, reason: str = "", *, timeout: float = 30.0) -> None:
        """Have a model skip the event at which it is stopped, on every replica, in every version and rebuild.

        The decision is written to the log with `reason` and the time; `unskip_event` takes it back. A model
        that is stopped there continues immediately. Skipping the event again does nothing.

        Raises `NotStopped` if no replica's model is stopped at that position, `ValueError` for a position
        that is not in the log, `UnknownMessage`, `CommandTimeout` (unknown: skip again), `WrongThread`.
        """
        parts = self._running()
        refuse_in_actor("skip_event", parts.progress)
        name = checked_model(model, parts.domain, "skip_event").name
        checked_timeout(timeout, "skip_event")
        if not isinstance(reason, str):
            raise TypeError(f"skip_event(reason=) is a text, not {short_repr(reason)}")
        self._runtime.rebuilds.skip_event(name, position_of(position, "position"), reason, timeout)

    def unskip_event(self, model: ReadModel, position: int, *, timeout: float = 30.0) -> None:
        """Take the skip of an event back, and rebuild the model on every replica: the event counts again.

        What serves goes on without the event until the new build is complete; `wait_rebuilt` waits for that.
        A build that stops at the event again does not replace it. A replica that is not open now is rebuilt
        when it is.

        Raises `UnknownName`, a `KeyError`, if the model does not skip that position; `DomainError` for an
        inline model; `UnknownMessage`, `ConsistencyTimeout` as `rebuild`, `CommandTimeout`, `WrongThread`.
        """
        parts = self._running()
        refuse_in_actor("unskip_event", parts.progress)
        name = checked_model(model, parts.domain, "unskip_event").name
        checked_timeout(timeout, "unskip_event")
        self._runtime.rebuilds.unskip_event(name, position_of(position, "position"), timeout)

    def skipped_events(self, model: ReadModel | None = None) -> list[SkippedEvent]:
        """Every event that a model skips, or this model, with reason and time, by model and position."""
        parts = self._running()
        name = None if model is None else checked_model(model, parts.domain, "skipped_events").name
        return [one for one in read_skips(parts.log) if name in (None, one.model)]

    def on_committed(self, listener: Callable[[int, int], None]) -> None:
        """Call `listener(first, last)` after every commit, in the writer's thread: keep it short."""
        self._running().listeners.committed.append(listener)

    def on_broadcast(self, listener: Callable[[int, int], None]) -> None:
        """Call `listener(first, last)` after Sync sent a commit on, in its thread: keep it short.

        It goes to every replica, or to the one that projects for all, whose changes go to the others.
        """
        self._running().listeners.broadcast.append(listener)

    def on_applied(self, listener: Callable[[str, int, float], None]) -> None:
        """Call `listener(replica, position, lag in seconds)` after each batch of a replica, in its thread."""
        self._running().listeners.applied.append(listener)
