"""A consumer group: all that compete under one name in this process, and what is stored of them.

Its lock is held for moments only, never while the log is read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakSet

from actors.kernel.delivery_marks import DeliveryMarks
from actors.kernel.unique_mark import mark_of
from actors.replication.progress import Progress
from actors.subscriptions.delivery_window import Window
from actors.subscriptions.entries import Behind, Entry
from actors.subscriptions.group_state import GroupState, behind_key, encode_behind, state_key
from actors.subscriptions.group_writer import Saver
from actors.subscriptions.outstanding_deliveries import Out
from actors.subscriptions.window_feeder import Feed
from storage import EventLog, RecordedEvent, StoreClosed
from storage.log.notes import Note

__all__ = ["ConsumerGroup", "Policy"]

KEY_BYTES = 16
STORE_AFTER = 10_000
"""Positions looked at without an event that is wanted, after which that is stored, so as not to look again."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How a group delivers, from `System.consumer`."""

    max_deliveries: int = 5
    ack_timeout: float = 30.0
    in_flight: int = 200

    def __str__(self) -> str:
        """As it is written in a call."""
        return f"max_deliveries={self.max_deliveries}, ack_timeout={self.ack_timeout:g}, in_flight={self.in_flight}"


class ConsumerGroup:
    """Every method may be called from any thread."""

    def __init__(
        self,
        name: str,
        log: EventLog,
        progress: Progress,
        write: Callable[[Iterable[Note]], Future[Any]],
        state: GroupState,
        behind: dict[str, Behind],
        policy: Policy,
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
        """An event for one delivery of it; the next one, after a failure, is to find it as it is in the log."""
        self._members: WeakSet[Any] = WeakSet()
        self._lock = threading.Lock()
        self._waiting: list[Callable[[], None]] = []
        self._out = Out(marks, name)
        self._window = Window(
            state.through,
            behind,
            limit=policy.in_flight,
            max_deliveries=policy.max_deliveries,
            ack_timeout=policy.ack_timeout,
            noted=self._out,
        )
        for position, attempts in state.open:
            for recorded in log.read(position - 1, 1):
                self._window.load(recorded, attempts)
        self._stored_through = state.through
        self._feed = Feed(self._lock, self._window, log, progress, state.wanted)
        for stream, one in behind.items():
            if one.replaying:
                self._feed.begin_replay(stream)
        if not any(one.replaying for one in behind.values()):
            self._out.drop(state.through)
        self.saver = Saver(self._to_store, write, self._stored)

    # -- asking ------------------------------------------------------------------------------
    @property
    def over(self) -> bool:
        """Whether nothing is stored any more: the system is closed, or the name deleted."""
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

    def put_off(self) -> tuple[float, list[str], int] | None:
        """For how many seconds nothing is delivered, since what is in hand was put off, the streams, and the positions behind."""
        with self._lock:
            found, through = self._window.put_off(), self._window.through
            found = found if self._members else None
        if found is None or through >= self.progress.head:
            return None
        return found[0] - time.monotonic(), found[1], self.progress.head - through

    def counts(self) -> tuple[int, int, int]:
        """Events in hand, streams parked, streams being replayed."""
        with self._lock:
            behind = list(self._window.behind.values())
            replaying = sum(one.replaying for one in behind)
            return len(self._window), len(behind) - replaying, replaying

    def unstored(self) -> int:
        """Answers to deliveries, and other changes, that are not on disk."""
        with self._lock:
            return max(self._window.changes - self.saver.done, 0)

    def parked_streams(self) -> list[str]:
        """The names of the parked streams."""
        with self._lock:
            return sorted(stream for stream, one in self._window.behind.items() if not one.replaying)

    def parked(self) -> list[tuple[str, Behind, int]]:
        """The parked streams by position, each with how many events wait behind the one that it is parked at."""
        with self._lock:
            found = [
                (stream, replace(one)) for stream, one in self._window.behind.items() if not one.replaying
            ]
            through = self._window.through
        found.sort(key=lambda one: one[1].first)
        return [(stream, one, self._following(stream, one, through)) for stream, one in found]

    def _following(self, stream: str, behind: Behind, through: int) -> int:
        cursor = self._feed.cursor(stream, behind)
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
        """It is gone: let others have what it had in hand."""
        with self._lock:
            self._members.discard(consumer)
            self._window.release(holder)
            self._out.idle()
        self.wake()

    def set_policy(self, policy: Policy) -> None:
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

    def arm(self, wake: Callable[[], None]) -> bool:
        """Have `wake` called when there may be something to deliver; False where one should look again at once."""
        with self._lock:
            self._waiting.append(wake)
            changes = self._window.changes
            self._out.idle()
        if changes > self.saver.done:
            # For what could not be written when it changed.
            self.saver.save()
        return self.progress.call_committed(self.progress.head + 1, wake)

    def disarm(self, wake: Callable[[], None]) -> None:
        """Undo `arm`."""
        self.progress.forget_committed(wake)
        with self._lock:
            if wake in self._waiting:
                self._waiting.remove(wake)

    def next_due(self) -> float | None:
        """Seconds until something may be delivered again for the time that passed; None where nothing waits so."""
        with self._lock:
            due = self._window.next_due()
        return None if due is None else max(due - time.monotonic(), 0.0)

    # -- delivering --------------------------------------------------------------------------
    def take(self, until: int | None, holder: object) -> tuple[Entry | None, bool]:
        """The next event to deliver; without one, whether the log was read, so that it is worth to ask again."""
        entry = self._take(until, holder)
        if entry is not None or not self._fill():
            return entry, False
        return self._take(until, holder), True

    def key_of(self, recorded: RecordedEvent) -> str:
        """What tells an event from any other in any store: it is made of its envelope, which never changes."""
        parts = (
            self._log.history_id,
            recorded.stream,
            recorded.version,
            recorded.time_us,
            recorded.command_id,
        )
        return f"{recorded.position}:{mark_of(parts, KEY_BYTES)}"

    def _take(self, until: int | None, holder: object) -> Entry | None:
        with self._lock:
            return self._window.take(time.monotonic(), until, holder)

    def _fill(self) -> bool:
        """Read one batch; False where there is nothing to read now."""
        try:
            found = self._feed.read()
        except StoreClosed:
            if self.progress.closed or self.closed:
                return False
            raise
        finally:
            # It went to wait: but this reader may not want what it read, or may not come back.
            if self._feed.turned_away():
                self.wake()
        if found is None:
            return False
        with self._lock:
            if self._window.through - self._stored_through > STORE_AFTER:
                self._window.changes += 1
                self._stored_through = self._window.through
            changes = self._window.changes
        if changes > self.saver.done:
            self.saver.save()
        if found > 1:
            self.wake()
        return True

    # -- settling ----------------------------------------------------------------------------
    def settle(self, stream: str, change: Callable[[Window, float], bool]) -> tuple[bool, int]:
        """Acknowledge, refuse or park: whether the change was made, and its number for the saver."""
        with self._lock:
            made = change(self._window, time.monotonic())
            number = self._window.changes
            self._feed.settled(stream)
            waiting = bool(self._waiting)
        if made:
            self.saver.save()
            if waiting:
                self.wake()
        return made, number

    def replay(self, stream: str | None) -> int:
        """Deliver parked streams again, one or all; returns how many are."""
        with self._lock:
            begun = self._window.replay([*self._window.behind] if stream is None else [stream])
            for one in begun:
                self._feed.begin_replay(one)
        self.saver.save()
        self.wake()
        return len(begun)

    def discard(self, stream: str, following: bool) -> bool:
        """Give up what a stream is parked at; without `following`, what is behind it is replayed."""
        with self._lock:
            done = self._window.discard(stream, following)
            if done and not following:
                self._feed.begin_replay(stream)
        self.saver.save()
        self.wake()
        return done

    def retire(self) -> Future[None]:
        """Store nothing from now on; done once no write is under way any more."""
        with self._lock:
            self.closed = True
            self._window.forget_noted()
            self._window.changes += 1
            number = self._window.changes
        self.wake()
        return self.saver.wait(number)

    def flush(self) -> Future[None]:
        """Done once everything up to now is on disk, also what was looked at in vain."""
        with self._lock:
            if self._window.through > self._stored_through:
                self._window.changes += 1
            number = self._window.changes
        return self.saver.wait(number)

    # -- storing -----------------------------------------------------------------------------
    def _to_store(self) -> tuple[int, list[Note]]:
        with self._lock:
            window = self._window
            state = GroupState(self.wanted, self.start, window.through, window.open())
            self._stored_through = window.through
            changed = [(stream, window.behind.get(stream)) for stream in window.changed]
            number = window.changes
            notes: list[Note] = [
                (behind_key(self.name, stream), None if one is None else encode_behind(one))
                for stream, one in changed
            ]
        if self.closed:
            return number, []
        return number, [(state_key(self.name), state.encode()), *notes]

    def _stored(self, number: int) -> None:
        with self._lock:
            changed = self._window.changed
            for stream in [stream for stream, last in changed.items() if last <= number]:
                del changed[stream]
