"""What a worker's `StatusReporter` sends, as the parent takes it over. The thread of the replica's proxy."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actors.kernel.actor import notify
from actors.kernel.running_calls import CallSlot
from actors.replication.current_event import CurrentEvent
from actors.replication.rebuild_lock import RebuildLock
from actors.worker_processes.parent.control_client import ControlClient
from actors.worker_processes.parent.remote_progress import RemoteProgress
from actors.worker_processes.parent.remote_replica import RemoteReplicaSlot
from actors.worker_processes.parent.remote_store import RemoteCommitState
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.error_codec import unpack_error
from storage.codec.codec import Codec

__all__ = ["StatusReceiver"]


class StatusReceiver:
    """Of one replica, whichever worker it is in."""

    def __init__(
        self,
        slot: RemoteReplicaSlot,
        control: ControlClient,
        progress: RemoteProgress,
        rebuild_lock: RebuildLock,
        codec: Codec,
        *,
        restarted: Callable[[str, str], None],
        listeners: Sequence[Callable[[str, int, float], None]],
        call_slot: CallSlot,
    ) -> None:
        """`restarted` gets the name of each actor that died in the worker, and why; `call_slot` shows the
        listener that runs."""
        self._slot = slot
        self._control = control
        self._progress = progress
        self._rebuild_lock = rebuild_lock
        self._codec = codec
        self._restarted = restarted
        self._listeners = listeners
        self._call_slot = call_slot
        self._notified = 0
        self.positions: list[tuple[str, int]] = []
        """The models that run, and the position that each has applied."""
        self.current_event: CurrentEvent | None = None
        """What the projections were at when the worker answered the last ping."""

    @property
    def hears(self) -> bool:
        """Whether the thread is free to hear the worker: it also runs the program's listeners. Any thread."""
        return self._call_slot.what is None

    def on_hello(self, state: Mapping[str, Any], positions: Sequence[Any]) -> None:
        """A worker has opened the replica. The thread that started it."""
        self._slot.update(state)
        self._update_positions(positions)

    def receive(self, bodies: Sequence[bytes], pong: Callable[[int], None]) -> None:
        """Take over these messages, in order; `pong` gets the number of a ping that was answered."""
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
            if word == protocol.PONG:
                self._on_pong(values[1])
                pong(values[0])
            else:
                self._on_message(word, values)
        if applied is not None:
            self._on_applied(*applied)

    def _on_message(self, word: int, values: list[Any]) -> None:
        name, progress = self._slot.name, self._progress
        if word == protocol.STATE:
            self._slot.update(values[0])
            progress.moved()
        elif word == protocol.STOPPED:
            model, position, why, readable = values
            progress.stopped(name, model, position, why, readable=readable)
        elif word == protocol.SWITCHED:
            progress.recheck(values[0])
        elif word == protocol.EXCLUDED:
            progress.exclude(name)
        elif word == protocol.WAS_RESET:
            self._slot.note_reset()
            progress.mark_reset(name)
        elif word == protocol.DONE:
            number, error, result = values
            self._control.done(number, None if error is None else unpack_error(error, self._codec), result)
        elif word == protocol.ACQUIRE_REBUILD_LOCK:
            self._acquire_rebuild_lock(values[0])
        elif word == protocol.RELEASE_REBUILD_LOCK:
            self._rebuild_lock.release(name)
        elif word == protocol.LOGGED:
            _log(*values)
        elif word == protocol.EXITED:
            self._restarted(*values)

    def _on_pong(self, work: Any) -> None:
        self.current_event = None
        if work is not None:
            model, version, building, kind, position, seconds = work
            since = time.monotonic() - seconds
            self.current_event = CurrentEvent(model, version, building, kind, position, since)

    def _acquire_rebuild_lock(self, number: int) -> None:
        def grant() -> None:
            self._control.send(protocol.REBUILD_LOCK_GRANTED, number)

        if self._rebuild_lock.acquire(self._slot.name, grant):
            grant()

    def _on_applied(self, position: int, events: int, positions: Sequence[Any]) -> None:
        name, progress = self._slot.name, self._progress
        self._update_positions(positions)
        self._slot.projector.applied_events = events
        before, self._notified = self._notified, position
        progress.applied(name, self.positions)
        self._control.applied(position)
        if self._listeners and position > before:
            notify(self._call_slot, self._listeners, name, position, progress.lag_seconds(before))

    def _update_positions(self, positions: Sequence[Any]) -> None:
        state = {**self._slot.store.state.models}
        self.positions = []
        for model, checkpoint, changed, build, runs in positions:
            state[model] = checkpoint, changed, build
            if runs:
                self.positions.append((model, checkpoint))
        self._slot.store.state = RemoteCommitState(state)


def _log(name: str, level: int, text: str, trace: str, created: float, thread: str) -> None:
    """Log a worker's record here, as if it had been made in this process."""
    target = logging.getLogger(name)
    if target.isEnabledFor(level):
        record = target.makeRecord(name, level, "(worker)", 0, text, (), None)
        record.exc_text = trace or None
        record.created = created
        record.threadName = thread
        target.handle(record)
