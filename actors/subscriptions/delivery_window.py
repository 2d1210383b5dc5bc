"""What a consumer group has in flight: which event is delivered next, delivered again, or parked.

Pure: it knows no thread, file or clock; whoever calls it holds the group's lock and says what time it is. The
words are those of JetStream and KurrentDB: a delivery is acknowledged (ack), refused for now (nak) or parked.

Events are loaded in the order of the log, each into the lane of its stream, and only the first of a lane is
ever delivered, which keeps each stream's order. `through` is the last position loaded; of what was loaded
only the open events, those neither acknowledged nor parked, are remembered, at most `limit` of them. That is
the whole state of a group: `through`, the open positions, and the streams that fell behind.

A stream falls behind when an event of it is parked: that event, and what follows it in its stream, is handled
when an operator says so. It is remembered by the first position that is not handled; the rest is in the log.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from itertools import count

from actors.subscriptions.delivery_state import DeliveryState, StreamBacklog
from actors.subscriptions.delivery_timers import DeliveryTimers
from actors.subscriptions.outstanding_deliveries import OutstandingDeliveries
from storage import RecordedEvent

__all__ = ["DeliveryWindow"]

ENDED = "the process ended while it was delivered, each time"
SLACK = 64
"""Entries of what is looked through lazily that may be left over, beside twice the window."""


class DeliveryWindow:
    """The events in flight of one consumer group."""

    def __init__(
        self,
        through: int,
        backlogs: dict[str, StreamBacklog],
        *,
        limit: int,
        max_deliveries: int,
        ack_timeout: float,
        outstanding: OutstandingDeliveries | None = None,
    ) -> None:
        """`outstanding` keeps what is out where it outlives the process."""
        self._outstanding = outstanding
        self._left = {} if outstanding is None else outstanding.left
        self.through = through
        self.backlogs = backlogs
        self.limit = limit
        self.max_deliveries = max_deliveries
        self.ack_timeout = ack_timeout
        self.changes = 0
        """Grows with everything that has to be stored; `changed` has the streams, each with the last change
        of it.
        """
        self.changed: dict[str, int] = {}
        self._entries: dict[int, DeliveryState] = {}
        self._lanes: dict[str, deque[DeliveryState]] = {}
        self._ready: list[int] = []
        self._timers = DeliveryTimers(self._entries)
        self._order: deque[DeliveryState] = deque()
        self._tokens = count(1)

    # -- asking ------------------------------------------------------------------------------
    @property
    def position(self) -> int:
        """Everything up to here that is wanted is acknowledged, or waits in a stream that fell behind."""
        while self._order and self._entries.get(self._order[0].recorded.position) is not self._order[0]:
            self._order.popleft()
        return self._order[0].recorded.position - 1 if self._order else self.through

    def reached(self, until: int) -> bool:
        """Whether everything wanted through this position is acknowledged or parked."""
        return self.position >= until and not any(
            backlog.replaying and backlog.first <= until for backlog in self.backlogs.values()
        )

    @property
    def room(self) -> int:
        """How many more events may be loaded."""
        return self.limit - len(self._entries)

    def __len__(self) -> int:
        """Events in flight: those being delivered, and those that wait for their turn."""
        return len(self._entries)

    def has(self, stream: str) -> bool:
        """Whether events of this stream are in flight."""
        return stream in self._lanes

    def open(self) -> list[tuple[int, int]]:
        """The positions neither acknowledged nor fallen behind, in order, each with its failed deliveries."""
        return sorted(
            (position, entry.attempts - entry.outstanding)
            for position, entry in self._entries.items()
            if not entry.replayed
        )

    def next_due(self) -> float | None:
        """When something has to be looked at again, None where nothing waits for a time."""
        return self._timers.next_due()

    def deferred(self) -> tuple[float, list[str]] | None:
        """Where there is no room, and all that is in flight waits for a time: the first time, and the
        streams.
        """
        first = [lane[0] for lane in self._lanes.values()] if self.room <= 0 else []
        dues = [entry.due for entry in first if entry.due is not None and not entry.outstanding]
        if not dues or len(dues) < len(first):
            return None
        return min(dues), [entry.recorded.stream for entry in first]

    # -- loading -----------------------------------------------------------------------------
    def load(self, recorded: RecordedEvent, attempts: int = 0) -> None:
        """The next event wanted, in the order of the log. One of a stream that fell behind waits there."""
        if recorded.part and self._is_rest(recorded):
            return
        if recorded.stream not in self.backlogs:
            entry = DeliveryState(recorded, attempts, replayed=False)
            if self._left:
                self._look_up(entry)
            if len(self._order) > 2 * self.limit + SLACK:
                # The first of all may stay open for long.
                self._order = deque(
                    one for one in self._order if self._entries.get(one.recorded.position) is one
                )
            self._order.append(entry)
            self._add(entry)

    def loaded_through(self, position: int) -> None:
        """Everything wanted up to this position was loaded."""
        self.through = max(self.through, position)

    def load_replayed(self, recorded: RecordedEvent) -> None:
        """The next event of a stream that is being replayed."""
        if recorded.part and self._is_rest(recorded):
            return
        entry = DeliveryState(recorded, 0, replayed=True)
        if self._left:
            self._look_up(entry)
        self._add(entry)

    def _is_rest(self, recorded: RecordedEvent) -> bool:
        """Whether it is delivered after one at its position that is in flight."""
        entry = self._entries.get(recorded.position)
        if entry is not None:
            entry.add(recorded)
        return entry is not None

    def _look_up(self, entry: DeliveryState) -> None:
        if self._outstanding is not None and self._outstanding.found(entry):
            self.changes += 1

    def _add(self, entry: DeliveryState) -> None:
        recorded = entry.recorded
        self._entries[recorded.position] = entry
        lane = self._lanes.setdefault(recorded.stream, deque())
        lane.append(entry)
        if len(lane) == 1:
            heapq.heappush(self._ready, recorded.position)

    # -- delivering --------------------------------------------------------------------------
    def take(self, now: float, until: int | None = None, holder: object = None) -> DeliveryState | None:
        """The first event that may be delivered, not after `until`; its `holder` has it until it is settled
        or runs out.
        """
        self._look_at_timers(now)
        ready = self._ready
        while ready:
            entry = self._entries.get(ready[0])
            if entry is None or entry.outstanding or entry.due is not None:
                heapq.heappop(ready)
                continue
            if until is not None and ready[0] > until:
                return None
            heapq.heappop(ready)
            if entry.ended and entry.attempts >= self.max_deliveries:
                self._park(entry, ENDED)
                continue
            entry.outstanding = True
            entry.holder = holder
            entry.attempts += 1
            entry.token = next(self._tokens)
            if self._outstanding is not None:
                self._outstanding.hand_out(entry)
            self._timers.set(entry, now + self.ack_timeout, self.limit)
            return entry
        return None

    def extend(self, position: int, token: int, now: float) -> bool:
        """Have a delivery run out `ack_timeout` from now; False where it is not that one's any more."""
        entry = self._delivered(position, token)
        if entry is not None:
            self._timers.set(entry, now + self.ack_timeout, self.limit)
        return entry is not None

    def _look_at_timers(self, now: float) -> None:
        while (entry := self._timers.take_due(now)) is not None:
            if entry.outstanding:
                reason = f"not acknowledged within {self.ack_timeout:g} s"
                self._failed(entry, now, 0.0, reason)
            else:
                entry.due = None
                heapq.heappush(self._ready, entry.recorded.position)

    # -- settling ----------------------------------------------------------------------------
    def ack(self, position: int, part: int = 0) -> bool:
        """It is handled, perhaps by an earlier delivery than the one that is out; False where it was settled
        before.
        """
        entry = self._entries.get(position)
        if entry is None or not entry.token or entry.recorded.part != part:
            return False
        self._remove(entry)
        return True

    def nak(self, position: int, token: int, now: float, delay: float, reason: str) -> bool:
        """To be delivered again after `delay` seconds, or parked after the last time; False for another
        delivery.
        """
        entry = self._delivered(position, token)
        if entry is not None:
            self._failed(entry, now, delay, reason)
        return entry is not None

    def park(self, position: int, token: int, reason: str) -> bool:
        """Its stream falls behind here; False for another delivery than the one that is out."""
        entry = self._delivered(position, token)
        if entry is not None:
            self._park(entry, reason)
        return entry is not None

    def release(self, holder: object) -> None:
        """As if what this holder has had not been delivered: the holder is gone."""
        for position, entry in self._entries.items():
            if entry.outstanding and entry.holder is holder:
                entry.attempts -= 1
                entry.outstanding = False
                self._taken_back(entry)
                entry.due = None
                heapq.heappush(self._ready, position)

    def forget_outstanding(self) -> None:
        """Nothing that is in flight, or was when the last process died, is noted any more, now and later."""
        if self._outstanding is not None:
            self._outstanding.close(self._entries.values())

    def _delivered(self, position: int, token: int) -> DeliveryState | None:
        entry = self._entries.get(position)
        return entry if entry is not None and entry.outstanding and entry.token == token else None

    def _failed(self, entry: DeliveryState, now: float, delay: float, reason: str) -> None:
        if entry.attempts >= self.max_deliveries:
            self._park(entry, reason)
            return
        self.changes += 1
        entry.outstanding = False
        entry.ended = False
        self._taken_back(entry)
        if delay > 0:
            self._timers.set(entry, now + delay, self.limit)
        else:
            entry.due = None
            heapq.heappush(self._ready, entry.recorded.position)

    def _remove(self, entry: DeliveryState) -> None:
        position, stream = entry.recorded.position, entry.recorded.stream
        if entry.slot:
            self._outstanding.used.append(entry.slot)  # type: ignore[union-attr]
        if entry.rest is not None and entry.go_on():
            heapq.heappush(self._ready, position)
            return
        del self._entries[position]
        lane = self._lanes[stream]
        lane.popleft()
        self.changes += 1
        if lane:
            heapq.heappush(self._ready, lane[0].recorded.position)
        else:
            del self._lanes[stream]
        if entry.replayed:
            backlog = self.backlogs[stream]
            backlog.first, backlog.version = position + 1, entry.recorded.version + 1
            self._mark(stream)

    def _park(self, entry: DeliveryState, reason: str) -> None:
        recorded = entry.recorded
        self._taken_back(entry)
        for one in self._lanes.pop(recorded.stream):
            del self._entries[one.recorded.position]
        self.backlogs[recorded.stream] = StreamBacklog(
            recorded.position, recorded.version, reason, entry.attempts
        )
        self._mark(recorded.stream)

    def _taken_back(self, entry: DeliveryState) -> None:
        if self._outstanding is not None:
            self._outstanding.taken_back(entry)

    def _mark(self, stream: str) -> None:
        self.changes += 1
        self.changed[stream] = self.changes

    # -- what fell behind --------------------------------------------------------------------
    def replay(self, streams: Iterable[str]) -> list[str]:
        """Have parked streams delivered again from where they fell behind; returns those that were parked."""
        begun = []
        for stream in list(streams):
            backlog = self.backlogs.get(stream)
            if backlog is not None and not backlog.replaying:
                backlog.replaying = True
                backlog.attempts = 0
                self._mark(stream)
                begun.append(stream)
        return begun

    def replayed(self, stream: str) -> bool:
        """All of a stream that is replayed was loaded, up to `through`; True once it is handled, too."""
        if stream in self._lanes:
            return False
        del self.backlogs[stream]
        self._mark(stream)
        return True

    def discard(self, stream: str, following: bool) -> bool:
        """Give up the event that a stream is parked at, and with `following` all that is behind it up to
        `through`.
        """
        backlog = self.backlogs.get(stream)
        if backlog is None or backlog.replaying:
            return False
        if following:
            del self.backlogs[stream]
        else:
            backlog.first, backlog.version, backlog.attempts = backlog.first + 1, backlog.version + 1, 0
            backlog.replaying = True
        self._mark(stream)
        return True
