"""The system: a store opened with a domain, one writer, and replicas that answer queries.

`System.open` starts every actor; the methods run in callers' threads, any number of them.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from datetime import timedelta
from os import PathLike
from types import TracebackType
from typing import Any, Self, Unpack

from actors import middleware
from actors._arguments import checked_model, checked_place, several
from actors.consistency import position_of
from actors.domain import Domain
from actors.errors import ForkedProcess, SystemClosed, UnknownName
from actors.health import Health
from actors.messages import Receipt
from actors.options import AppendOptions, CommandOptions, ManyOptions, QueryOptions, checked
from actors.read_model import ReadModel
from actors.runtime import Runtime
from actors.session import Session
from actors.settings import Settings
from actors.subscription import subscribe
from actors.view import View
from actors.worker import refuse_in_actor
from storage import RecordedEvent

__all__ = ["System"]

_open_systems: weakref.WeakSet[System] = weakref.WeakSet()


class System:
    """A running store. Make one with `System.open`; close it, or use it in a `with` block."""

    def __init__(self, runtime: Runtime) -> None:
        """For `open`."""
        self._runtime = runtime
        self._refusal: Callable[[], Exception] | None = None
        self._closing = threading.Lock()
        self._closed = threading.Event()
        _open_systems.add(self)

    # -- opening and closing -----------------------------------------------------------------
    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        domain: Domain,
        *,
        replicas: int = 3,
        query_actors: int = 1,
        mailbox_size: int = 10_000,
        map_size: int = 1 << 40,
        cache_states: int = 100_000,
        max_message_bytes: int = 16 << 20,
        decider_limit: float = 5.0,
        view_max_age: float = 60.0,
    ) -> Self:
        """Open the store in directory `path`, making it when it is not there, and start all actors.

        `replicas` read replicas answer queries, each with `query_actors` query actors; more of
        either serve more queries at once, and each replica costs the writer's process the work
        of applying. `mailbox_size` commands may wait before callers do. `map_size` bytes is the
        most that each environment may grow to; it is address space, not disk. `cache_states`
        aggregates stay in memory. Health reports a decider that runs for more than
        `decider_limit` seconds; a view is closed after `view_max_age` seconds.

        Raises `TypeError` or `ValueError` for what is no domain, path or setting, `DomainError` for a mistake
        in the domain, and for the place `StoreLocked`, `NotAStore`, `NewerFormat`, `StoreReadOnly` or
        `DamagedStore`.
        """
        place = checked_place(path, domain)
        settings = Settings(
            replicas=replicas,
            query_actors=query_actors,
            mailbox_size=mailbox_size,
            map_size=map_size,
            cache_states=cache_states,
            max_message_bytes=max_message_bytes,
            decider_limit=decider_limit,
            view_max_age=view_max_age,
        )
        return cls(Runtime.open(place, domain, settings))

    def close(self, timeout: float = 30.0) -> None:
        """Handle what waits in the mailbox, stop every actor and close the files, within about `timeout` seconds.

        What could not be handled by then is answered with `SystemClosed`. Closing twice is harmless; while
        another thread closes it, this waits for that. Raises `WrongThread` in a decider, a query or a callback.
        """
        if self._refusal is _forked:
            raise _forked()
        refuse_in_actor("close")
        with self._closing:
            first = self._refusal is None
            if first:
                self._refusal = _closed
        if not first:
            # Another thread is at it, or was: the files are closed once it is done.
            self._closed.wait(timeout)
            return
        try:
            self._runtime.close(timeout)
        finally:
            self._closed.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._refusal is not _forked:
            self.close()

    def _running(self) -> Runtime:
        if self._refusal is not None:
            raise self._refusal()
        return self._runtime

    # -- the write side ----------------------------------------------------------------------
    def execute(self, command: Any, **options: Unpack[CommandOptions]) -> Receipt:
        """Have a command decided and written; returns its receipt once it is on disk.

        Options: `timeout`, `expected_version`, `on_conflict`, `command_id`, `deadline`,
        `causation_id`, `correlation_id`, `metadata`; `CommandOptions` says what each does.

        Raises `Rejected`, `ConcurrencyConflict`, `CommandIdReused`, `InvalidMessage`,
        `UnknownMessage`, `MessageTooLarge`, `DeciderFailed`, `DeadlineExceeded`, `Overloaded` or
        `StoreFull`: nothing was written; `CommandTimeout` or `CommitUncertain`: unknown, execute
        it again with the id that the error carries. `WrongThread` in a decider, a query or a callback.
        """
        return self._running().writes.execute(command, _checked(options, CommandOptions, "execute"))

    def submit(self, command: Any, **options: Unpack[CommandOptions]) -> Future[Receipt]:
        """As `execute`, without waiting for the reply: a future of the receipt.

        `timeout` bounds the wait for room in the mailbox. Callbacks of the future run in the
        writer's thread: keep them short. A future that is cancelled before its command is
        decided cancels the command.
        """
        return self._running().writes.submit(command, _checked(options, CommandOptions, "submit"))

    async def aexecute(self, command: Any, **options: Unpack[CommandOptions]) -> Receipt:
        """As `execute`, for asyncio: the event loop goes on meanwhile."""
        return await self._running().writes.aexecute(command, _checked(options, CommandOptions, "aexecute"))

    def execute_many(
        self, commands: Iterable[Any], *, return_exceptions: bool = False, **options: Unpack[ManyOptions]
    ) -> list[Any]:
        """Execute many commands, in order and each on its own; a list of their receipts.

        They share transactions, which makes them cheap, but they are not one unit: a rejected one
        does not disturb the others. With `return_exceptions` its error stands in its place, else
        the first error is raised after all were handled, with the whole list as its `outcomes`.
        Options: `timeout` for all together, `causation_id`, `correlation_id`, `metadata`.
        """
        commands = several(commands, "execute_many", "command")
        given = _checked(options, ManyOptions, "execute_many")
        outcomes = self._running().writes.execute_many(commands, given)
        if not return_exceptions:
            for outcome in outcomes:
                if isinstance(outcome, Exception):
                    outcome.outcomes = outcomes  # type: ignore[attr-defined]
                    raise outcome
        return outcomes

    def append(self, stream: str, events: Sequence[Any], **options: Unpack[AppendOptions]) -> Receipt:
        """Write facts that come from outside, without a command: a sensor's, an import's.

        They go through the same queue and are on disk when this returns. Options: `timeout`,
        `expected_version`, `command_id` (which makes it safe to repeat), `causation_id`,
        `correlation_id`, `metadata`. Raises as `execute` does.
        """
        return self._running().writes.append(stream, events, _checked(options, AppendOptions, "append"))

    # -- the read side -----------------------------------------------------------------------
    def query(self, query: Any, **options: Unpack[QueryOptions]) -> Any:
        """Run a query on a replica that is fresh enough, and return what it returns.

        Options: `consistency`, `after`, `max_lag`, `timeout`; `QueryOptions` says what each does.
        Raises `ConsistencyTimeout`, `ModelStopped`, `QueryTimeout`, `QueryFailed`, `Overloaded`,
        `InvalidMessage` or `UnknownMessage`.
        """
        return self.query_at(query, **options)[0]

    def query_at(self, query: Any, **options: Unpack[QueryOptions]) -> tuple[Any, int]:
        """As `query`, with the position that the answer shows."""
        runtime = self._running()
        given = _checked(options, QueryOptions, "query")
        chain = runtime.domain.query_middleware
        if not chain:
            results, seen = runtime.reads.query([query], given)
            return results[0], seen
        at = [0]

        def terminal(call: middleware.Call) -> Any:
            results, at[0] = runtime.reads.query([call.message], dict(call.options))
            return results[0]

        return middleware.run(chain, middleware.Call(query, {}, given, "query"), terminal), at[0]

    async def aquery(self, query: Any, **options: Unpack[QueryOptions]) -> Any:
        """As `query`, for asyncio: the event loop goes on meanwhile."""
        return (await self.aquery_at(query, **options))[0]

    async def aquery_at(self, query: Any, **options: Unpack[QueryOptions]) -> tuple[Any, int]:
        """As `query_at`, for asyncio."""
        runtime = self._running()
        at = [0]

        async def terminal(call: middleware.Call) -> Any:
            results, at[0] = await runtime.reads.aquery([call.message], dict(call.options))
            return results[0]

        call = middleware.Call(query, {}, _checked(options, QueryOptions, "aquery"), "query")
        return await middleware.arun(runtime.domain.query_middleware, call, terminal), at[0]

    def query_many(self, queries: Iterable[Any], **options: Unpack[QueryOptions]) -> list[Any]:
        """Run several queries on one snapshot; their results in order. The first that fails is raised.

        With query middleware each runs on its own, and then perhaps on another snapshot.
        """
        runtime = self._running()
        queries = list(several(queries, "query_many", "query"))
        if runtime.domain.query_middleware:
            return [self.query(query, **options) for query in queries]
        given = _checked(options, QueryOptions, "query_many")
        return runtime.reads.query(queries, given)[0] if queries else []

    def view(self, *models: ReadModel, **options: Unpack[QueryOptions]) -> View:
        """A snapshot of these models (all, when none is given) on one replica, read in the caller's thread.

        Use it in a `with` block: `view[table].get(key)`. It expires after the system's
        `view_max_age`. Options as for `query`. Middleware does not see what is read from a view.
        """
        return self._running().reads.view(models, _checked(options, QueryOptions, "view"))

    def session(self, position: Receipt | int = 0) -> Session:
        """A session that reads its own writes and never goes back in time; `position` continues an earlier one."""
        self._running()
        return Session(self, position_of(position, "position"))

    def subscribe(
        self,
        after: Receipt | int = 0,
        *,
        until: Receipt | int | None = None,
        timeout: float | timedelta | None = None,
    ) -> Iterator[RecordedEvent]:
        """Every event after a position, in order, first from the log and then as they are committed.

        Ends at `until`, when the system closes, or when nothing new came for `timeout` seconds.
        The iterator belongs to one thread.
        """
        runtime = self._running()
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        end = None if until is None else position_of(until, "until")
        return subscribe(runtime.log, runtime.progress, position_of(after), end, seconds)

    # -- looking after it --------------------------------------------------------------------
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


def _checked(options: Any, kind: type, method: str) -> dict[str, Any]:
    if options:
        checked(options, kind, method)
    return options  # type: ignore[no-any-return]


def _closed() -> Exception:
    return SystemClosed("the system is closed; open it again with System.open")


def _forked() -> Exception:
    return ForkedProcess(
        "this System was opened by the parent process and can't be used in a forked child; "
        "open stores after forking, or start children with subprocess"
    )


def _after_fork() -> None:
    for system in list(_open_systems):
        system._refusal = _forked
        system._runtime.forked()


def _at_exit() -> None:
    # Daemon threads would be cut off in the middle of what they do.
    for system in list(_open_systems):
        if system._refusal is None:
            system.close(timeout=10.0)


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
