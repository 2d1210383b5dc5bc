"""One replica's worker process, as the parent has it: started, heard, watched, ended, and replaced by another
one.

The replica's proxy (`ReplicaProxyActor`) runs most of it in its thread; the opener starts the first worker.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from actors.replication.current_event import CurrentEvent
from actors.replication.rebuild_lock import RebuildLock
from actors.worker_processes.parent.control_client import ControlClient
from actors.worker_processes.parent.query_connection import QueryConnection
from actors.worker_processes.parent.remote_progress import RemoteProgress
from actors.worker_processes.parent.remote_replica import RemoteReplicaSlot
from actors.worker_processes.parent.responsiveness import Responsiveness
from actors.worker_processes.parent.status_receiver import StatusReceiver
from actors.worker_processes.parent.worker_process import WorkerDied, WorkerProcess
from actors.worker_processes.wire import protocol
from storage import StorageError
from storage.codec.codec import Codec

__all__ = ["WorkerHandle"]

logger = logging.getLogger("onewriter.workers")

START_TIMEOUT = 30.0
"""Seconds that a worker has to open its replica."""

PING_EVERY = 1.0
"""Seconds from one ping of a worker to the next, or fewer if a limit is low."""


class WorkerHandle:
    """What stays of one replica in the parent from one worker to the next."""

    def __init__(
        self,
        slot: RemoteReplicaSlot,
        connections: Mapping[str, QueryConnection],
        control: ControlClient,
        progress: RemoteProgress,
        rebuild_lock: RebuildLock,
        receiver: StatusReceiver,
        codec: Codec,
        *,
        config: Callable[[], dict[str, Any]],
        reader_check: Callable[[], object],
        limit: float,
        ping_every: float,
    ) -> None:
        """`connections` are those to its query actors, by their names; `config` makes what a new worker is
        sent.

        A worker that does not answer for `limit` seconds is killed. `reader_check` frees what a dead one
        holds of the log.
        """
        self.name = slot.name
        self.slot = slot
        self.connections = connections
        self.control = control
        self.process: WorkerProcess | None = None
        self.closing = False
        self._progress = progress
        self._rebuild_lock = rebuild_lock
        self._receiver = receiver
        self._codec = codec
        self._config = config
        self._reader_check = reader_check
        self._limit = limit
        self._ping_every = ping_every
        self._starting: WorkerProcess | None = None
        self._sent_head = 0
        self._unread: list[bytes] = []
        self._responsiveness: Responsiveness | None = None
        self._why: str | None = None

    # -- the process -------------------------------------------------------------------------
    def spawn(self) -> None:
        """Start a worker; `wait_ready` waits until it is ready. Raises `WorkerDied`, `LimitReached`."""
        config = self._config()
        self._sent_head = config["head"]
        # Only a process that has started is shown to others; `end` finds any other.
        self._starting = process = WorkerProcess(self.name, config, len(self.connections))
        process.start()
        self.process = process

    def wait_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Wait until the worker has opened the replica. Raises why it could not be opened; then the worker is
        ended."""
        process = self.process
        if process is None:
            raise WorkerDied(f"the worker of {self.name} was ended before it was ready")
        try:
            (state, positions), self._unread = process.wait_ready(self._codec, timeout)
        except BaseException:
            self.end()
            raise
        self._receiver.on_hello(state, positions)

    def attach(self) -> None:
        """Send to the worker that is ready from now on: commits, requests, queries."""
        process = self.process
        assert process is not None
        self._why = None
        self._receiver.current_event = None
        self._responsiveness = Responsiveness(process.pid, self._limit, self._ping_every)
        self.control.attach(process.control_connection, self._sent_head)
        for queries, connection in zip(self.connections.values(), process.query_connections, strict=True):
            queries.attach(connection)
        self.slot.note_reset()
        self._progress.mark_reachable(self.name, self._receiver.positions)

    def detach(self, why: str) -> None:
        """The worker is gone: others get the queries that it did not answer. Does nothing the second time."""
        process = self.process
        if process is None:
            return
        self._progress.mark_unreachable(self.name)
        self._receiver.current_event = None
        self.control.detach()
        self._rebuild_lock.release(self.name)
        jobs = [(queries, job) for queries in self.connections.values() for job in queries.detach()]
        self.end()
        # The slot of a reader that was killed would keep pages of the log from being used again.
        with suppress(StorageError):
            self._reader_check()
        for queries, job in jobs:
            if self.closing or job.note_death(why):
                queries.redirect(job)

    def end(self) -> None:
        """End the process, whatever became of its start."""
        process = self.process or self._starting
        if process is not None:
            process.end()
            self.process = self._starting = None

    def exit_reason(self) -> str:
        """Why the worker ended."""
        process = self.process
        return self._why or ("the worker is gone" if process is None else process.exit_reason())

    # -- hearing it: the proxy's thread ------------------------------------------------------
    def listen(self) -> None:
        """Take over what the worker sends, until its end."""
        process, responsiveness = self.process, self._responsiveness
        assert process is not None
        assert responsiveness is not None
        connection = process.control_connection
        bodies: list[bytes] | None = self._unread
        self._unread = []
        while bodies is not None:
            self._receiver.receive(bodies, responsiveness.answered)
            connection.ready_to_receive(math.inf)
            bodies = connection.receive()

    # -- whether it answers ------------------------------------------------------------------
    def check(self, now: float) -> None:
        """Ping the worker from time to time, and kill one that does not answer, so that it is replaced.

        The supervisor's thread.
        """
        process, responsiveness = self.process, self._responsiveness
        # One that was asked to end hears no more.
        if process is None or responsiveness is None or self.closing or not self.ready:
            return
        number = responsiveness.check(now, self._receiver.hears)
        if number is not None:
            self.control.send(protocol.PING, number)
        elif responsiveness.given_up and self._why is None:
            self._why = (
                f"process {process.pid} of {self.name} did not answer for {self._limit:g} s, and was killed"
            )
            logger.error("%s; another one is started", self._why)
            process.kill()

    def redirect_queries(self) -> None:
        """Send to others what this worker has not answered. The supervisor's thread."""
        for queries in self.connections.values():
            queries.redirect_all()

    # -- how it is: any thread ---------------------------------------------------------------
    @property
    def ready(self) -> bool:
        """Whether a worker has the replica open."""
        return all(queries.attached for queries in self.connections.values())

    @property
    def pid(self) -> int | None:
        """The id of the process, None while there is none."""
        process = self.process
        return None if process is None else process.pid

    @property
    def positions(self) -> list[tuple[str, int]]:
        """The models that run, and the position that each has applied."""
        return self._receiver.positions

    @property
    def current_event(self) -> CurrentEvent | None:
        """What the projections are at, as the worker reported last."""
        return self._receiver.current_event

    @property
    def silent(self) -> float:
        """Seconds for which the worker has not answered, 0.0 as long as it does."""
        responsiveness = self._responsiveness
        return responsiveness.silent if responsiveness is not None and self.ready else 0.0

    @property
    def unresponsive(self) -> bool:
        """Whether it has been silent for so long that it is not to be asked."""
        responsiveness = self._responsiveness
        return responsiveness is not None and self.ready and responsiveness.unresponsive

    @property
    def hindrance(self) -> str:
        """What holds the replica up, as the end of a sentence; empty if its process answers."""
        if not self.ready:
            return "its worker process is being started"
        silent = self.silent
        return f"its worker process has not answered for {silent:.1f} s" if silent else ""

    @property
    def problem(self) -> str | None:
        """Why the replica can't be asked at present, as a sentence; None if it can."""
        if not self.ready:
            return f"{self.name} has no worker process at present: one is being started"
        if not self.unresponsive:
            return None
        pid = self.pid
        return (
            f"worker process{'' if pid is None else f' {pid}'} of {self.name} has not answered for "
            f"{self.silent:.1f} s; others are asked, and it is killed and replaced after {self._limit:g} s"
        )
