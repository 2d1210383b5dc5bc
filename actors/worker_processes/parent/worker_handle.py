"""One replica's place in the parent while it lives in a worker process: the process of the moment, and what it says.

The replica's stand-in runs most of it in its thread; the crew makes it before that.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from actors.kernel.actor import notify
from actors.kernel.running_calls import CallSlot
from actors.replication.current_event import CurrentEvent
from actors.replication.rebuild_lock import RebuildLock
from actors.worker_processes.parent.control_client import ControlClient
from actors.worker_processes.parent.cpu_starvation import CpuStarvation
from actors.worker_processes.parent.heartbeat import Heartbeat
from actors.worker_processes.parent.query_connection import QueryConnection, retryable
from actors.worker_processes.parent.remote_progress import RemoteProgress
from actors.worker_processes.parent.remote_replica import RemoteCommitState, RemoteReplicaSlot
from actors.worker_processes.parent.worker_process import WorkerDied, WorkerProcess
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.error_codec import unpack_error
from storage import StorageError
from storage.codec.codec import Codec

__all__ = ["WorkerHandle"]

logger = logging.getLogger("onewriter.workers")

START_TIMEOUT = 30.0
"""Seconds that a worker has to open its replica."""


class WorkerHandle:
    """What the parent keeps of one replica from one worker to the next."""

    def __init__(
        self,
        name: str,
        slot: RemoteReplicaSlot,
        connections: dict[str, QueryConnection],
        codec: Codec,
        config: Callable[[], dict[str, Any]],
        limit: float,
        every: float,
    ) -> None:
        """`connections` are those of its query actors, by their names; `config` is what a new worker is told.

        A worker that does not answer for `limit` seconds is killed; it is asked `every` so many.
        """
        self.name = name
        self.slot = slot
        self.connections = connections
        self.process: WorkerProcess | None = None
        self._starting: WorkerProcess | None = None
        self.closing = False
        self._codec = codec
        self._config = config
        self._unread: list[bytes] = []
        self._positions: list[tuple[str, int]] = []
        self._limit = limit
        self._every = every
        self._heartbeat = Heartbeat(every)
        self._starvation: CpuStarvation | None = None
        self._why: str | None = None
        self.at_work: CurrentEvent | None = None
        """What the projections are at, as the worker said last."""

    def join(
        self,
        progress: RemoteProgress,
        control: ControlClient,
        rebuild_lock: RebuildLock,
        exited: Callable[[str, str], None],
        reader_check: Callable[[], object],
        listeners: Sequence[Callable[[str, int, float], None]],
        call_slot: CallSlot,
    ) -> None:
        """Before the stand-in begins: who is told what the worker says. `call_slot` shows the listener that runs."""
        self._progress = progress
        self.control = control
        self._rebuild_lock = rebuild_lock
        self._exited = exited
        self._reader_check = reader_check
        self._listeners = listeners
        self.listening = call_slot
        self._at = 0

    # -- the process -------------------------------------------------------------------------
    def spawn(self) -> None:
        """Start a worker; `settle` waits until it is ready. Raises `WorkerDied`, `LimitReached`."""
        config = self._config()
        self._sent_head = config["head"]
        # Others ask the one that has started; whatever becomes of the start, `end` finds it.
        self._starting = process = WorkerProcess(self.name, config, len(self.connections))
        process.start()
        self.process = process

    def wait_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Wait until the worker has opened the replica. Raises what it could not be opened for; the worker is ended then."""
        process = self.process
        if process is None:
            raise WorkerDied(f"the worker of {self.name} was ended before it was ready")
        try:
            (state, positions), self._unread = process.wait_ready(self._codec, timeout)
        except BaseException:
            self.end()
            raise
        self.slot.update(state)
        self._update_positions(positions)

    def attach(self) -> None:
        """Have the worker that is ready asked and told from now on."""
        process = self.process
        assert process is not None
        self._heartbeat, self.at_work, self._why = Heartbeat(self._every), None, None
        self._starvation = CpuStarvation(process.pid)
        self.control.attach(process.control_connection, self._sent_head)
        for queries, connection in zip(self.connections.values(), process.query_connections, strict=True):
            queries.attach(connection)
        self.slot.note_reset()
        self._progress.mark_reachable(self.name, self._positions)

    def detach(self, why: str) -> None:
        """The worker is gone: others get what it had in hand. Nothing, when that is done already."""
        process = self.process
        if process is None:
            return
        self._progress.mark_unreachable(self.name)
        self.at_work = None
        self.control.detach()
        self._rebuild_lock.release(self.name)
        jobs = [(connection, job) for connection in self.connections.values() for job in connection.detach()]
        self.end()
        # The slot of a reader that was killed would keep pages of the log from being used again.
        with suppress(StorageError):
            self._reader_check()
        for connection, job in jobs:
            if self.closing:
                connection.redirect(job)
            else:
                for one in retryable([job], why):
                    connection.redirect(one)

    def end(self) -> None:
        """Do away with the process."""
        process = self.process or self._starting
        if process is not None:
            process.end()
            self.process = self._starting = None

    @property
    def ready(self) -> bool:
        """Whether a worker has the replica open."""
        return all(connection.attached for connection in self.connections.values())

    # -- whether it answers: the supervisor's thread ------------------------------------------
    @property
    def silent(self) -> float:
        """Seconds for which the worker has not answered, 0.0 as long as it does. Any thread."""
        return self._heartbeat.silent if self.ready else 0.0

    @property
    def unresponsive(self) -> bool:
        """Whether it has been silent for so long that it is not to be asked. Any thread."""
        return self.silent > self._limit / 2

    def unresponsive_text(self) -> str:
        """The same as a sentence."""
        process = self.process
        pid = "" if process is None else f" {process.pid}"
        return (
            f"worker process{pid} of {self.name} has not answered for {self.silent:.1f} s; others are asked, and it is "
            f"killed and replaced after {self._limit:g} s"
        )

    def check(self, now: float) -> None:
        """Ask the worker whether it runs, from time to time, and kill one that does not say so: it is replaced then."""
        process = self.process
        # One that was asked to end hears no more.
        if process is None or self.closing or not self.ready:
            return
        # While a listener has the thread that hears the worker, its answers are not heard; a starved one can't give any.
        heard = self.listening.what is None
        starved = (
            self._heartbeat.silent > 0 and self._starvation is not None and self._starvation.is_starved(now)
        )
        number = self._heartbeat.check(now, heard and not starved)
        if number is not None:
            self.control.send(protocol.PING, number)
        elif self._heartbeat.silent > self._limit and self._why is None:
            self._why = (
                f"process {process.pid} of {self.name} did not answer for {self._limit:g} s, and was killed"
            )
            logger.error("%s; another one is started", self._why)
            process.kill()

    def redirect_queries(self) -> None:
        """Have others asked what this worker has not answered."""
        for connection in self.connections.values():
            connection.redirect_all()

    def exit_reason(self) -> str:
        """Why the worker ended."""
        process = self.process
        return self._why or ("the worker is gone" if process is None else process.exit_reason())

    # -- what the worker says: the stand-in's thread -----------------------------------------
    def listen(self) -> None:
        """Hear the worker until its end."""
        process = self.process
        assert process is not None
        connection = process.control_connection
        bodies: list[bytes] | None = self._unread
        self._unread = []
        while bodies is not None:
            applied = None
            for body in bodies:
                word, *values = protocol.unpack(body)
                if word == protocol.APPLIED:
                    # The next one says more.
                    applied = values
                    continue
                if applied is not None:
                    self._on_applied(*applied)
                    applied = None
                self._on_message(word, values)
            if applied is not None:
                self._on_applied(*applied)
            connection.ready_to_receive(math.inf)
            bodies = connection.receive()

    def _on_message(self, word: int, values: list[Any]) -> None:
        if word == protocol.STATE:
            self.slot.update(values[0])
            self._progress.moved()
        elif word == protocol.STOPPED:
            model, position, why, readable = values
            self._progress.stopped(self.name, model, position, why, readable=readable)
        elif word == protocol.SWITCHED:
            self._progress.recheck(values[0])
        elif word == protocol.EXCLUDED:
            self._progress.exclude(self.name)
        elif word == protocol.WAS_RESET:
            self.slot.note_reset()
            self._progress.mark_reset(self.name)
        elif word == protocol.DONE:
            number, error, result = values
            self.control.done(number, None if error is None else unpack_error(error, self._codec), result)
        elif word == protocol.ACQUIRE_REBUILD_LOCK:
            self._acquire_rebuild_lock(values[0])
        elif word == protocol.RELEASE_REBUILD_LOCK:
            self._rebuild_lock.release(self.name)
        elif word == protocol.LOGGED:
            _log(*values)
        elif word == protocol.PONG:
            number, work = values
            self.at_work = None
            if work is not None:
                model, version, building, kind, position, seconds = work
                since = time.monotonic() - seconds
                self.at_work = CurrentEvent(model, version, building, kind, position, since)
            self._heartbeat.answered(number)
        elif word == protocol.EXITED:
            self._exited(*values)

    def _acquire_rebuild_lock(self, number: int) -> None:
        def grant() -> None:
            self.control.send(protocol.REBUILD_LOCK_GRANTED, number)

        if self._rebuild_lock.acquire(self.name, grant):
            grant()

    def _on_applied(self, position: int, events: int, positions: Sequence[Any]) -> None:
        self._update_positions(positions)
        self.slot.projector.applied_events = events
        before, self._at = self._at, position
        self._progress.applied(self.name, self._positions)
        self.control.applied(position)
        if self._listeners and position > before:
            notify(self.listening, self._listeners, self.name, position, self._progress.lag_seconds(before))

    def _update_positions(self, positions: Sequence[Any]) -> None:
        state = {**self.slot.store.state.models}
        self._positions = []
        for model, checkpoint, changed, build, runs in positions:
            state[model] = checkpoint, changed, build
            if runs:
                self._positions.append((model, checkpoint))
        self.slot.store.state = RemoteCommitState(state)


def _log(name: str, level: int, text: str, trace: str, created: float, thread: str) -> None:
    """Log a worker's record here, as if it had been made in this process."""
    target = logging.getLogger(name)
    if target.isEnabledFor(level):
        record = target.makeRecord(name, level, "(worker)", 0, text, (), None)
        record.exc_text = trace or None
        record.created = created
        record.threadName = thread
        target.handle(record)
