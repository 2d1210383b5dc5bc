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
from actors.replication.current_event import AtWork
from actors.replication.rebuild_lock import Turns
from actors.worker_processes.parent.control_client import Orders
from actors.worker_processes.parent.cpu_starvation import Starved
from actors.worker_processes.parent.heartbeat import Heartbeat
from actors.worker_processes.parent.query_connection import Channel, survivors
from actors.worker_processes.parent.remote_progress import FarProgress
from actors.worker_processes.parent.remote_replica import FarHome, FarState
from actors.worker_processes.parent.worker_process import WorkerDied, WorkerProcess
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.error_codec import unpack_error
from storage import StorageError
from storage.codec.codec import Codec

__all__ = ["Station"]

logger = logging.getLogger("onewriter.workers")

START_TIMEOUT = 30.0
"""Seconds that a worker has to open its replica."""


class Station:
    """What the parent keeps of one replica from one worker to the next."""

    def __init__(
        self,
        name: str,
        home: FarHome,
        channels: dict[str, Channel],
        codec: Codec,
        config: Callable[[], dict[str, Any]],
        limit: float,
        every: float,
    ) -> None:
        """`channels` are those of its query actors, by their names; `config` is what a new worker is told.

        A worker that does not answer for `limit` seconds is killed; it is asked `every` so many.
        """
        self.name = name
        self.home = home
        self.channels = channels
        self.process: WorkerProcess | None = None
        self._starting: WorkerProcess | None = None
        self.closing = False
        self._codec = codec
        self._config = config
        self._unread: list[bytes] = []
        self._positions: list[tuple[str, int]] = []
        self._limit = limit
        self._every = every
        self._heart = Heartbeat(every)
        self._starved: Starved | None = None
        self._why: str | None = None
        self.at_work: AtWork | None = None
        """What the projections are at, as the worker said last."""

    def join(
        self,
        progress: FarProgress,
        orders: Orders,
        turns: Turns,
        exited: Callable[[str, str], None],
        gone: Callable[[], object],
        listeners: Sequence[Callable[[str, int, float], None]],
        slot: CallSlot,
    ) -> None:
        """Before the stand-in begins: who is told what the worker says. `slot` shows the listener that runs."""
        self._progress = progress
        self.orders = orders
        self._turns = turns
        self._exited = exited
        self._gone = gone
        self._listeners = listeners
        self.listening = slot
        self._at = 0

    # -- the process -------------------------------------------------------------------------
    def spawn(self) -> None:
        """Start a worker; `settle` waits until it is ready. Raises `WorkerDied`, `LimitReached`."""
        config = self._config()
        self._told = config["head"]
        # Others ask the one that has started; whatever becomes of the start, `end` finds it.
        self._starting = process = WorkerProcess(self.name, config, len(self.channels))
        process.start()
        self.process = process

    def settle(self, timeout: float = START_TIMEOUT) -> None:
        """Wait until the worker has opened the replica. Raises what it could not be opened for; the worker is ended then."""
        process = self.process
        if process is None:
            raise WorkerDied(f"the worker of {self.name} was ended before it was ready")
        try:
            (state, positions), self._unread = process.hello(self._codec, timeout)
        except BaseException:
            self.end()
            raise
        self.home.told(state)
        self._hear_positions(positions)

    def take_up(self) -> None:
        """Have the worker that is ready asked and told from now on."""
        process = self.process
        assert process is not None
        self._heart, self.at_work, self._why = Heartbeat(self._every), None, None
        self._starved = Starved(process.pid)
        self.orders.attach(process.control, self._told)
        for channel, line in zip(self.channels.values(), process.questions, strict=True):
            channel.attach(line)
        self.home.begun_anew()
        self._progress.back(self.name, self._positions)

    def leave(self, why: str) -> None:
        """The worker is gone: others get what it had in hand. Nothing, when that is done already."""
        process = self.process
        if process is None:
            return
        self._progress.out_of_reach(self.name)
        self.at_work = None
        self.orders.detach()
        self._turns.give_up(self.name)
        jobs = [(channel, job) for channel in self.channels.values() for job in channel.detach()]
        self.end()
        # The slot of a reader that was killed would keep pages of the log from being used again.
        with suppress(StorageError):
            self._gone()
        for channel, job in jobs:
            if self.closing:
                channel.elsewhere(job)
            else:
                for one in survivors([job], why):
                    channel.elsewhere(one)

    def end(self) -> None:
        """Do away with the process."""
        process = self.process or self._starting
        if process is not None:
            process.end()
            self.process = self._starting = None

    @property
    def ready(self) -> bool:
        """Whether a worker has the replica open."""
        return all(channel.attached for channel in self.channels.values())

    # -- whether it answers: the supervisor's thread ------------------------------------------
    @property
    def silent(self) -> float:
        """Seconds for which the worker has not answered, 0.0 as long as it does. Any thread."""
        return self._heart.silent if self.ready else 0.0

    @property
    def unanswering(self) -> bool:
        """Whether it has been silent for so long that it is not to be asked. Any thread."""
        return self.silent > self._limit / 2

    def silence(self) -> str:
        """The same as a sentence."""
        process = self.process
        pid = "" if process is None else f" {process.pid}"
        return (
            f"worker process{pid} of {self.name} has not answered for {self.silent:.1f} s; others are asked, and it is "
            f"killed and replaced after {self._limit:g} s"
        )

    def look(self, now: float) -> None:
        """Ask the worker whether it runs, from time to time, and kill one that does not say so: it is replaced then."""
        process = self.process
        # One that was asked to end hears no more.
        if process is None or self.closing or not self.ready:
            return
        # While a listener has the thread that hears the worker, its answers are not heard; a starved one can't give any.
        heard = self.listening.what is None
        starved = self._heart.silent > 0 and self._starved is not None and self._starved.look(now)
        number = self._heart.look(now, heard and not starved)
        if number is not None:
            self.orders.say(protocol.PING, number)
        elif self._heart.silent > self._limit and self._why is None:
            self._why = (
                f"process {process.pid} of {self.name} did not answer for {self._limit:g} s, and was killed"
            )
            logger.error("%s; another one is started", self._why)
            process.kill()

    def move_on(self) -> None:
        """Have others asked what this worker has not answered."""
        for channel in self.channels.values():
            channel.take_away()

    def ending(self) -> str:
        """Why the worker ended."""
        process = self.process
        return self._why or ("the worker is gone" if process is None else process.ending())

    # -- what the worker says: the stand-in's thread -----------------------------------------
    def listen(self) -> None:
        """Hear the worker until its end."""
        process = self.process
        assert process is not None
        line = process.control
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
                    self._applied(*applied)
                    applied = None
                self._heard(word, values)
            if applied is not None:
                self._applied(*applied)
            line.worth_receiving(math.inf)
            bodies = line.receive()

    def _heard(self, word: int, values: list[Any]) -> None:
        if word == protocol.STATE:
            self.home.told(values[0])
            self._progress.moved()
        elif word == protocol.STOPPED:
            model, position, why, readable = values
            self._progress.stopped(self.name, model, position, why, readable=readable)
        elif word == protocol.SWITCHED:
            self._progress.look_again(values[0])
        elif word == protocol.LEFT_OUT:
            self._progress.leave_out(self.name)
        elif word == protocol.BEGUN_ANEW:
            self.home.begun_anew()
            self._progress.begun_anew(self.name)
        elif word == protocol.DONE:
            number, error, result = values
            self.orders.done(number, None if error is None else unpack_error(error, self._codec), result)
        elif word == protocol.TAKE_TURN:
            self._take_turn(values[0])
        elif word == protocol.GIVE_UP_TURN:
            self._turns.give_up(self.name)
        elif word == protocol.LOGGED:
            _log(*values)
        elif word == protocol.PONG:
            number, work = values
            self.at_work = None
            if work is not None:
                model, version, building, kind, position, seconds = work
                since = time.monotonic() - seconds
                self.at_work = AtWork(model, version, building, kind, position, since)
            self._heart.answered(number)
        elif word == protocol.EXITED:
            self._exited(*values)

    def _take_turn(self, number: int) -> None:
        def grant() -> None:
            self.orders.say(protocol.TURN, number)

        if self._turns.take(self.name, grant):
            grant()

    def _applied(self, position: int, events: int, positions: Sequence[Any]) -> None:
        self._hear_positions(positions)
        self.home.projector.applied_events = events
        before, self._at = self._at, position
        self._progress.applied(self.name, self._positions)
        self.orders.applied(position)
        if self._listeners and position > before:
            notify(self.listening, self._listeners, self.name, position, self._progress.lag_seconds(before))

    def _hear_positions(self, positions: Sequence[Any]) -> None:
        state = {**self.home.store.state.models}
        self._positions = []
        for model, checkpoint, changed, build, runs in positions:
            state[model] = checkpoint, changed, build
            if runs:
                self._positions.append((model, checkpoint))
        self.home.store.state = FarState(state)


def _log(name: str, level: int, text: str, trace: str, created: float, thread: str) -> None:
    """Log a worker's record here, as if it had been made in this process."""
    target = logging.getLogger(name)
    if target.isEnabledFor(level):
        record = target.makeRecord(name, level, "(worker)", 0, text, (), None)
        record.exc_text = trace or None
        record.created = created
        record.threadName = thread
        target.handle(record)
