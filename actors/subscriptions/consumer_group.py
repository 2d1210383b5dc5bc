"""A consumer group: all that compete under one name in this process, and what is stored of them.

Its lock is held for moments only, never while the log is read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any
from weakref import WeakSet

from actors.kernel.delivery_marks import DeliveryMarks
from actors.kernel.unique_mark import mark_of
from actors.replication.progress import Progress
from actors.subscriptions.delivery_policy import DeliveryPolicy
from actors.subscriptions.delivery_state import DeliveryState, StreamBacklog
from actors.subscriptions.delivery_window import DeliveryWindow
from actors.subscriptions.group_state import GroupState
from actors.subscriptions.group_storage import GroupStorage
from actors.subscriptions.outstanding_deliveries import OutstandingDeliveries
from actors.subscriptions.window_feeder import WindowFeeder
from storage import RecordedEvent, StoreClosed
from storage.log.log_reader import LogReader
from storage.log.notes import Note
from storage.log.records import DROPPED

__all__ = ["ConsumerGroup"]

KEY_BYTES = 16


class ConsumerGroup:
    """Every method may be called from any thread."""

    def __init__(
        self,
        name: str,
        log: LogReader,
        progress: Progress,
        write: Callable[[Iterable[Note]], Future[Any]],
        state: GroupState,
        backlogs: dict[str, StreamBacklog],
        policy: DeliveryPolicy,
        marks: DeliveryMarks,
    ) -> None:
        """Reads the open events from the log; raises what that does. What is out is noted in `marks`."""
        self.name = name
        self.wanted = state.wanted
        self._log = log
        self.start = state.start
        self.policy = policy
        self.progress = progress
        self.closed = False
        self.own: Callable[[RecordedEvent], RecordedEvent] = log.own
        """An event for one delivery of it; the next one, after a failure, is to find it as it is in
        the log.
        """
        self._members: WeakSet[Any] = WeakSet()
        self._lock = threading.Lock()
        self._waiting: list[Callable[[], None]] = []
        self._outstanding = OutstandingDeliveries(marks, name)
        self._window = DeliveryWindow(
            state.through,
            backlogs,
            limit=policy.in_flight,
            max_deliveries=policy.max_deliveries,
            ack_timeout=policy.ack_timeout,
            outstanding=self._outstanding,
        )
        for position, attempts in state.open:
            for recorded in log.read(position - 1, 1):
                if recorded.event is not DROPPED and (recorded.parts == 1 or state.wanted.matches(recorded)):
                    self._window.load(recorded, attempts)
        self._feeder = WindowFeeder(self._lock, self._window, log, progress, state.wanted, self.wake)
        for stream, one in backlogs.items():
            if one.replaying:
                self._feeder.begin_replay(stream)
        if not any(one.replaying for one in backlogs.values()):
            self._outstanding.drop(state.through)
        self._storage = GroupStorage(name, state.wanted, state.start, self._window, self._lock, write)
        self.writer = self._storage.writer

    # -- asking ------------------------------------------------------------------------------
    @property
    def stores_nothing(self) -> bool:
        """Whether nothing is stored any more: the system is closed, or the name is being deleted."""
        return self.closed or self.progress.closed

    @property
    def position(self) -> int:
        """Everything up to here is acknowledged, or waits in a stream that fell behind."""
        with self._lock:
            return self._window.position

    def reached(self, until: int) -> bool:
        """Whether everything wanted through this position is acknowledged or parked."""
        with self._lock:
            return self._window.reached(until)

    def deferred(self) -> tuple[float, list[str], int] | None:
        """For how many seconds nothing is delivered, since what is in flight was put off, the streams, and
        the positions behind.
        """
        with self._lock:
            found, through = self._window.deferred(), self._window.through
            found = found if self._members else None
        if found is None or through >= self.progress.head:
            return None
        return found[0] - time.monotonic(), found[1], self.progress.head - through

    def counts(self) -> tuple[int, int, int]:
        """Events in flight, streams parked, streams being replayed."""
        with self._lock:
            backlogs = list(self._window.backlogs.values())
            replaying = sum(one.replaying for one in backlogs)
            return len(self._window), len(backlogs) - replaying, replaying

    def unstored(self) -> int:
        """Answers to deliveries, and other changes, that are not on disk."""
        with self._lock:
            return max(self._window.changes - self.writer.done, 0)

    def parked_streams(self) -> list[str]:
        """The names of the parked streams."""
        with self._lock:
            return sorted(stream for stream, one in self._window.backlogs.items() if not one.replaying)

    def parked(self) -> list[tuple[str, StreamBacklog, int]]:
        """The parked streams by position, each with how many events wait behind the one that it is
        parked at.
        """
        with self._lock:
            found = [
                (stream, replace(one)) for stream, one in self._window.backlogs.items() if not one.replaying
            ]
            through = self._window.through
        found.sort(key=lambda one: one[1].first)
        return [(stream, one, self._following(stream, one, through)) for stream, one in found]

    def _following(self, stream: str, backlog: StreamBacklog, through: int) -> int:
        cursor = self._feeder.cursor(stream, backlog)
        waiting = 0
        while cursor.position < through:
            waiting += len(cursor.read(through))
        return max(waiting - 1, 0)

    # -- members -----------------------------------------------------------------------------
    def members(self) -> list[Any]:
        """The consumers of it that are open."""
        with self._lock:
            return list(self._members)

    def join(self, consumer: Any) -> None:
        """This consumer competes from now on."""
        with self._lock:
            self._members.add(consumer)

    def leave(self, consumer: Any, holder: object) -> None:
        """It is gone: let others have what it had in flight."""
        with self._lock:
            self._members.discard(consumer)
            self._window.release(holder)
            self._outstanding.idle()
        self.wake()

    def set_policy(self, policy: DeliveryPolicy) -> None:
        """For those who open it next; nobody has it open."""
        with self._lock:
            self.policy = policy
            window = self._window
            window.limit, window.max_deliveries = policy.in_flight, policy.max_deliveries
            window.ack_timeout = policy.ack_timeout

    def wake(self) -> None:
        """Have those that wait look again."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for one in waiting:
            one()

    def register(self, wake: Callable[[], None]) -> bool:
        """Have `wake` called when there may be something to deliver; False where one should look again at
        once.
        """
        with self._lock:
            self._waiting.append(wake)
            changes = self._window.changes
            self._outstanding.idle()
        if changes > self.writer.done:
            # For what could not be written when it changed.
            self.writer.save()
        return self.progress.call_committed(self.progress.head + 1, wake)

    def unregister(self, wake: Callable[[], None]) -> None:
        """Undo `register`."""
        self.progress.forget_committed(wake)
        with self._lock:
            if wake in self._waiting:
                self._waiting.remove(wake)

    def next_due(self) -> float | None:
        """Seconds until something may be delivered again for the time that passed; None where nothing waits
        so.
        """
        with self._lock:
            due = self._window.next_due()
        return None if due is None else max(due - time.monotonic(), 0.0)

    # -- delivering --------------------------------------------------------------------------
    def take(self, until: int | None, holder: object) -> tuple[DeliveryState | None, bool]:
        """The next event to deliver; without one, whether events were loaded meanwhile: then ask again."""
        loads = self._feeder.loads
        entry = self._take(until, holder)
        if entry is not None:
            return entry, False
        if self._fill():
            return self._take(until, holder), True
        # Another thread may have read between the two looks, and have had no reason to wake this one.
        return None, self._feeder.loads != loads

    def key_of(self, recorded: RecordedEvent) -> str:
        """What tells an event from any other in any store: it is made of its envelope, which never
        changes.
        """
        parts = (
            self._log.first_history_id,
            recorded.stream,
            recorded.version,
            recorded.time_us,
            recorded.command_id,
        )
        part = f".{recorded.part}" if recorded.part else ""
        return f"{recorded.position}{part}:{mark_of(parts, KEY_BYTES)}"

    def _take(self, until: int | None, holder: object) -> DeliveryState | None:
        with self._lock:
            return self._window.take(time.monotonic(), until, holder)

    def _fill(self) -> bool:
        """Read one batch; False where there is nothing to read now."""
        try:
            found = self._feeder.read()
        except StoreClosed:
            if self.progress.closed or self.closed:
                return False
            raise
        if found is None:
            return False
        with self._lock:
            self._storage.note_search()
            changes = self._window.changes
        if changes > self.writer.done:
            self.writer.save()
        if found > 1:
            self.wake()
        return True

    # -- settling ----------------------------------------------------------------------------
    def settle(self, stream: str, change: Callable[[DeliveryWindow, float], bool]) -> tuple[bool, int]:
        """Acknowledge, refuse or park: whether the change was made, and its number for the writer."""
        with self._lock:
            made = change(self._window, time.monotonic())
            number = self._window.changes
            self._feeder.settled(stream)
            waiting = bool(self._waiting)
        if made:
            self.writer.save()
            if waiting:
                self.wake()
        return made, number

    def replay(self, stream: str | None) -> int:
        """Deliver parked streams again, one or all; returns how many are."""
        with self._lock:
            begun = self._window.replay([*self._window.backlogs] if stream is None else [stream])
            for one in begun:
                self._feeder.begin_replay(one)
        self.writer.save()
        self.wake()
        return len(begun)

    def discard(self, stream: str, following: bool) -> bool:
        """Give up what a stream is parked at; without `following`, what is behind it is replayed."""
        with self._lock:
            done = self._window.discard(stream, following)
            if done and not following:
                self._feeder.begin_replay(stream)
        self.writer.save()
        self.wake()
        return done

    def retire(self) -> Future[None]:
        """End its consumers and store nothing from now on; done once no write is under way any more."""
        with self._lock:
            self.closed = True
            self._window.forget_outstanding()
            self._window.changes += 1
            number = self._window.changes
            self._storage.stop_after(number)
        self.wake()
        return self.writer.wait(number)

    def revive(self) -> None:
        """Undo `retire`, for a name that could not be deleted: it goes on where it is.

        Consumers that were asked for a delivery meanwhile have ended.
        """
        with self._lock:
            self._outstanding.reopen()
            self.closed = False
            self._storage.stop_after(None)
            self._window.changes += 1
        self.writer.save()

    def flush(self) -> Future[None]:
        """Done once everything up to now is on disk, also what did not match."""
        with self._lock:
            self._storage.note_search(at_once=True)
            number = self._window.changes
        return self.writer.wait(number)
