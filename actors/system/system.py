"""The system: a store opened with a domain, one writer, and replicas that answer queries.

`System.open` starts every actor; the methods, most of which are in `actors.system`, run in callers' threads,
any number of them.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable, Collection
from datetime import timedelta
from functools import lru_cache, partial
from operator import methodcaller
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from actors.domain.domain import Domain
from actors.errors import ForkedProcess, SystemClosed
from actors.kernel.actor import refuse_in_actor
from actors.kernel.closeable import BlockingCloseable
from actors.kernel.uninterrupted_call import UninterruptedCall
from actors.queries.options import Consistency
from actors.queries.query_client import QueryClient
from actors.runtime.runtime import Runtime
from actors.settings import Settings
from actors.system.arguments import checked_path
from actors.system.backups import BackupMethods
from actors.system.base import Availability
from actors.system.corrections import CorrectionMethods
from actors.system.forgetting import ForgettingMethods
from actors.system.operations import OperationMethods
from actors.system.process_managers import ProcessManagerMethods
from actors.system.queries import QueryMethods
from actors.system.retention import RetentionMethods
from actors.system.session import SessionMethods
from actors.system.storage import StorageMethods
from actors.system.subscriptions import SubscriptionMethods
from actors.timeouts import MOST_SECONDS
from storage.files.arguments import resolved_path
from storage.files.error_translation import from_system
from storage.files.opening_resources import OpeningResources

__all__ = ["System"]

CLOSE_TIMEOUT = 30.0
"""Seconds within which a system is closed unless its caller says otherwise."""

_open_systems: weakref.WeakSet[System] = weakref.WeakSet()


class System(
    SessionMethods,
    QueryMethods,
    SubscriptionMethods,
    ProcessManagerMethods,
    OperationMethods,
    CorrectionMethods,
    BackupMethods,
    ForgettingMethods,
    RetentionMethods,
    StorageMethods,
    BlockingCloseable,
):
    """A running store. Make one with `System.open`; close it, or use it in a `with` or `async with` block."""

    _consistency: Consistency = "eventual"
    """The consistency of a read that asks for none."""

    def __init__(self, runtime: Runtime) -> None:
        """For `open`."""
        self._runtime = runtime
        self._parts = parts = runtime.parts
        self._availability = Availability()
        self._queries = QueryClient(
            parts.query_dispatcher, parts.views, parts.calls, self._availability.require, self._consistency
        )
        self._closing: UninterruptedCall | None = None
        self._closings: dict[UninterruptedCall | None, UninterruptedCall] = {}
        """Each closing, by the one before it, which was interrupted."""
        self._closer: int | None = None
        self._one_at_a_time = threading.Lock()
        self._closed = False
        self._here = weakref.ref(self)
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
        map_size: int | None = None,
        cache_states: int = 100_000,
        max_message_bytes: int = 16 << 20,
        decider_limit: float = 5.0,
        busy_limit: float = 10.0,
        lag_limit: float = 10.0,
        worker_limit: float = 10.0,
        view_max_age: float = 60.0,
        rebuild_share: float = 0.5,
        replication_interval: float = 0.003,
        result_cache: int = 64 << 20,
        workers: Literal["thread", "process"] = "thread",
        verify_bytes: int = 32 << 20,
        mode: Literal["write", "read"] = "write",
        managers: bool | None = None,
        replicas_path: str | PathLike[str] | None = None,
        accept: Collection[str] = (),
        master_key: str | PathLike[str] | Callable[[Literal["wrap", "unwrap"], bytes], bytes] | None = None,
        keys_path: str | PathLike[str] | None = None,
        archives_path: str | PathLike[str] | None = None,
        map_limit: float = 0.8,
        disk_limit: float = 86_400.0,
        max_lag_before_wait: int | None = None,
        id_retention: timedelta | float | None = None,
        copy_to: str | PathLike[str] | None = None,
        copy_interval: float = 1.0,
        copy_full_every: float = 21_600.0,
        copy_keep: int | None = 2,
        copy_limit: float = 60.0,
    ) -> Self:
        """Open the store in the directory `path`, or make a new one there, and start all actors.

        With `mode="read"` the store exists, and nothing in its directory is changed: another process may have
        it open for writing, before or after. Queries, views, subscriptions, watches, streams and health work,
        and follow what is committed there within about 25 milliseconds; strong reads look first. Whatever
        would write raises `OpenedForReading`.

        - `replicas`: how many read replicas answer queries; `query_actors`: how many query actors each of
          them has. More of either serve more queries at once; applying events to a replica takes time of the
          writer's process.
        - `mailbox_size`: how many commands may wait before callers have to
        - `map_size`: the bytes up to which each environment may grow. That is address space, not disk. None
          chooses it: 1 TiB for the first stores of a process, less once half of its address space is used,
          and twice the size of a larger file.
        - `cache_states`: how many aggregates are kept in memory
        - `max_message_bytes`: the largest message that is stored
        - `decider_limit`, `busy_limit`, `lag_limit`: the seconds after which health reports a decider that
          still runs, any other code of the program that does, and a model or process manager that is behind
        - `worker_limit`: the seconds after which a worker process that does not answer is replaced
        - `view_max_age`: the seconds after which a view is closed
        - `rebuild_share`: the share of its thread's time that a replica spends at most on new builds of its
          models while it serves. It spends up to 0.9 on builds that would never be done otherwise.
        - `replication_interval`: for how many seconds commits of a busy writer are kept from the replicas, to
          be applied together, while nobody waits for them; 0 for not at all
        - `result_cache`: how many bytes of results are kept of queries declared with `cache=True`; 0 keeps
          none
        - `workers`: with "process", each replica and its query actors run in a child process, on a core of
          their own. `domain` then has to be an attribute of an importable module other than the main one.
        - `verify_bytes`: how much of the log's file is checked after an unclean end, before LMDB maps it. A
          larger file is checked from its top for a second; 0 checks nothing.
        - `mode`: "write", for the one process that executes commands; "read", for any number of others
        - `managers`: with False, no process manager runs: no timer fires and no effect is delivered. All of
          that waits for an opening in which they run. On a copy of a store they do not run, and no consumer
          delivers, until True says once that it is a store of its own.
        - `replicas_path`: with `mode="read"`, the folder in which the replicas are kept for the next reader;
          by default they are in a temporary one, and filled from the log at each opening
        - `accept`: names of classes, process managers or domains in whose changes you know better than the
          comparison with the store's schema, which would refuse them
        - `master_key`: of a domain with personal fields, the file of the key that wraps all others, or a
          callable that a key service is asked with; by default the file that the environment variable
          ONEWRITER_MASTER_KEY names
        - `keys_path`: the folder of the key store; `keys` in the store unless given
        - `archives_path`: the folder of the archives; `archives` in the store unless given
        - `map_limit`: the share of a file's map from which on health warns that it will be full;
          `disk_limit`: for how many seconds the disk has to have room, at the pace of the last hours, before
          health warns
        - `max_lag_before_wait`: callers of commands wait while a model that serves is more than so many
          positions behind on a replica, and get `Overloaded` if that lasts for their whole timeout; None for
          never
        - `id_retention`: for how long the id of a command is known, so that repeating it executes nothing; a
          timedelta or seconds, None for ever
        - `copy_to`: a folder, or `s3://bucket/prefix`, to which what is committed is copied all the time, as
          backups; `copy_interval`: at most so many seconds pass between two of them while something is new;
          `copy_full_every`: after so many seconds a full one is made; `copy_keep`: what comes before the last
          so many full ones is removed, None for nothing; `copy_limit`: the seconds after which health reports
          that the copy is behind

        Raises `TypeError` or `ValueError` for something that is not a domain, a path or a setting,
        `DomainError` for a mistake in the domain, and for a domain that can't read what the store holds, with
        the list of all mismatches; `KeysUnavailable` without the keys that personal fields need, and
        `DamagedKeys`; `ModelStopped` if the projection of an inline model fails
        while the model is filled, `WorkerDied` for a process that could not be started, `LimitReached` if no
        more files, threads or processes are available, and because of the directory `StoreLocked`,
        `NotAStore`, `NewerFormat`, `StoreReadOnly` or `DamagedStore`. After any error, Ctrl-C included,
        nothing stays open, locked or running. The path is resolved now: a link above the store may be
        switched afterwards.
        """
        store = os.fspath(resolved_path(checked_path(path, domain)))
        settings = Settings(
            replicas=replicas,
            query_actors=query_actors,
            mailbox_size=mailbox_size,
            map_size=map_size,
            cache_states=cache_states,
            max_message_bytes=max_message_bytes,
            decider_limit=decider_limit,
            busy_limit=busy_limit,
            lag_limit=lag_limit,
            worker_limit=worker_limit,
            view_max_age=view_max_age,
            rebuild_share=rebuild_share,
            replication_interval=replication_interval,
            result_cache=result_cache,
            workers=workers,
            verify_bytes=verify_bytes,
            mode=mode,
            managers=managers,
            replicas_path=None if replicas_path is None else os.fspath(replicas_path),
            accept=accept,
            master_key=master_key,
            keys_path=None if keys_path is None else os.fspath(keys_path),
            archives_path=None if archives_path is None else os.path.abspath(archives_path),
            map_limit=map_limit,
            disk_limit=disk_limit,
            max_lag_before_wait=max_lag_before_wait,
            id_retention=id_retention.total_seconds()
            if isinstance(id_retention, timedelta)
            else id_retention,
            copy_to=None if copy_to is None else os.fspath(copy_to),
            copy_interval=copy_interval,
            copy_full_every=copy_full_every,
            copy_keep=copy_keep,
            copy_limit=copy_limit,
        )
        resources = OpeningResources()
        try:
            return cls(Runtime.open(store, domain, settings, resources))
        except BaseException as error:
            undoing = UninterruptedCall("onewriter-undoing", resources.roll_back)
            undoing.start()
            undoing.wait()
            if isinstance(error, OSError):
                raise from_system(error, f"{store} cannot be opened", store) from error
            raise

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Handle the commands that wait, stop every actor and close the files, within about `timeout`
        seconds.

        Commands that could not be handled by then are answered with `SystemClosed`. Closing twice is
        harmless; while another thread closes the system, this waits for it. If Ctrl-C interrupts it, closing
        continues in a thread of its own, and another call waits for that.

        Middleware after the `yield` of a submitted call, and callbacks of `consume`, may call this too. It
        then waits neither for the thread that calls it nor, while another thread closes the system, for that
        one. Raises `WrongThread` in a decider, a query or a callback that runs in the writer's thread.
        """
        if self._availability.refusal is _forked:
            raise _forked()
        refuse_in_actor("close", self._parts.progress)
        self._availability.refusal = _closed
        timeout = min(max(timeout, 0.0), MOST_SECONDS)
        closing = self._closing
        if closing is None or closing.was_interrupted:
            closing, is_mine = self._new_closing(timeout)
            if is_mine:
                closing.run()
                return
        closing.start()
        if closing.wait(0.0 if self._close_waits_for_this_thread() else timeout):
            closing.raise_error()

    def _close_waits_for_this_thread(self) -> bool:
        thread = threading.get_ident()
        return thread == self._closer or self._runtime.waits_for(thread)

    def _new_closing(self, timeout: float) -> tuple[UninterruptedCall, bool]:
        """The closing that threads share which come to it now, and whether it is this thread's own."""
        last = self._closing
        mine = UninterruptedCall("onewriter-closing", partial(self._close, timeout, threading.get_ident()))
        self._closing = closing = self._closings.setdefault(last, mine)
        return closing, closing is mine

    def _close(self, timeout: float, asker: int) -> None:
        with self._one_at_a_time:
            self._closer = threading.get_ident()
            try:
                if not self._closed:
                    self._runtime.close(timeout, asker)
            except MemoryError:
                raise
            except Exception:
                self._closed = True
                raise
            finally:
                self._closer = None
            self._closed = True

    if TYPE_CHECKING:

        def __enter__(self) -> Self: ...

    else:
        # `self._here()`, which is this object, without a line of Python. Ctrl-C at the beginning of a
        # function would be raised after `open` has returned and before the block is entered: nothing would
        # close the system.
        __enter__ = lru_cache(maxsize=0)(methodcaller("_here"))

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._availability.refusal is not _forked:
                self.close()
        except BaseException as error:
            if isinstance(error, MemoryError) or not isinstance(error, Exception):
                # It may have come before the closing was started, and nothing will call this again.
                closing = self._closing
                if closing is None or closing.was_interrupted:
                    closing, _ = self._new_closing(CLOSE_TIMEOUT)
                closing.start()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The thread that closes it would not know that it waits for an actor's thread.
        refuse_in_actor("close", self._parts.progress)
        await super().__aexit__(kind, value, trace)


def _closed() -> Exception:
    return SystemClosed("the system is closed; open it again with System.open")


def _forked() -> Exception:
    return ForkedProcess(
        "this System was opened by the parent process and can't be used in a forked child; "
        "open stores after forking, or start children with subprocess"
    )


def _after_fork() -> None:
    for system in list(_open_systems):
        system._availability.refusal = _forked
        system._runtime.forked()


def _at_exit() -> None:
    # Daemon threads would be stopped in the middle of their work.
    for system in list(_open_systems):
        if not system._closed and system._availability.refusal is not _forked:
            system.close(timeout=10.0)


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
