"""The logic of a consumer group against a simple model: order, nothing lost, and what is stored of it is
enough.
"""

from __future__ import annotations

import itertools

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from actors.subscriptions.delivery_state import StreamBacklog
from actors.subscriptions.delivery_window import DeliveryWindow
from storage import RecordedEvent
from storage.log.records import RecordedPart

LIMIT = 5
MOST = 3
ACK_TIMEOUT = 10.0


def window_of(through: int, behind: dict[str, StreamBacklog]) -> DeliveryWindow:
    return DeliveryWindow(through, behind, limit=LIMIT, max_deliveries=MOST, ack_timeout=ACK_TIMEOUT)


def an_event(position: int, stream: str = "s", version: int = 1) -> RecordedEvent:
    return RecordedEvent(position, stream, version, None, "Happened", 0, "id")


class Groups(RuleBasedStateMachine):
    """A window beside a log; the model is what was acknowledged, given up and handed out."""

    taken = Bundle("taken")

    def __init__(self) -> None:
        super().__init__()
        self.log: list[RecordedEvent] = []
        self.window = window_of(0, {})
        self.replays: dict[str, int] = {}
        self.now = 0.0
        self.done: set[int] = set()
        self.out: dict[int, tuple[int, float]] = {}
        self.stored = (0, [], {})

    # -- the log, and what a group does with it -------------------------------------------------
    @rule(stream=st.sampled_from("abc"))
    def commit(self, stream: str) -> None:
        version = 1 + sum(one.stream == stream for one in self.log)
        self.log.append(an_event(len(self.log) + 1, stream, version))

    @rule(wanted=st.integers(1, 4))
    def load(self, wanted: int) -> None:
        through = self.window.through
        for recorded in self.log[through : through + min(wanted, self.window.room)]:
            self.window.load(recorded)
            self.window.loaded_through(recorded.position)

    @precondition(lambda self: self.replays)
    @rule(data=st.data())
    def load_replayed(self, data: st.DataObject) -> None:
        stream = data.draw(st.sampled_from(sorted(self.replays)))
        if self.window.room <= 0:
            return
        for recorded in self.log[self.replays[stream] : self.window.through]:
            self.replays[stream] = recorded.position
            if recorded.stream == stream:
                self.window.load_replayed(recorded)
                break
        else:
            self.replays[stream] = self.window.through
            if self.window.replayed(stream):
                del self.replays[stream]

    @rule(target=taken, holder=st.sampled_from("xy"))
    def take(self, holder: str):
        entry = self.window.take(self.now, None, holder)
        self.out = {position: (token, due) for position, (token, due) in self.out.items() if due > self.now}
        if entry is None:
            return (0, 0, holder)
        recorded = entry.recorded
        assert recorded.position not in self.done, "delivered after it was acknowledged"
        assert recorded.position not in self.out, "delivered to two at once"
        before = {one.position for one in self.log[: recorded.position - 1] if one.stream == recorded.stream}
        assert before <= self.done, "delivered before an earlier one of its stream was acknowledged"
        assert 1 <= entry.attempts <= MOST
        self.out[recorded.position] = (entry.token, self.now + ACK_TIMEOUT)
        return (recorded.position, entry.token, holder)

    # -- settling --------------------------------------------------------------------------------
    @rule(delivery=consumes(taken))
    def ack(self, delivery) -> None:
        position = delivery[0]
        if self.window.ack(position):
            assert position not in self.done
            self.done.add(position)
            self.out.pop(position, None)
        self.see_parked()

    @rule(delivery=consumes(taken), delay=st.sampled_from([0.0, 3.0]))
    def nak(self, delivery, delay: float) -> None:
        position, token, _ = delivery
        if self.window.nak(position, token, self.now, delay, "failed"):
            assert self.out.pop(position)[0] == token
        self.see_parked()

    @rule(delivery=consumes(taken))
    def park(self, delivery) -> None:
        position, token, _ = delivery
        if self.window.park(position, token, "parked"):
            assert self.out.pop(position)[0] == token
            parked = self.window.backlogs[self.log[position - 1].stream]
            assert (parked.first, parked.reason, parked.replaying) == (position, "parked", False)
        self.see_parked()

    @rule(delivery=taken)
    def extend(self, delivery) -> None:
        position, token, _ = delivery
        if self.window.extend(position, token, self.now):
            self.out[position] = (token, self.now + ACK_TIMEOUT)

    @rule(holder=st.sampled_from("xy"))
    def release(self, holder: str) -> None:
        self.window.release(holder)
        self.out = {
            position: kept for position, kept in self.out.items() if not self.is_ready_again(position)
        }

    def is_ready_again(self, position: int) -> bool:
        entry = self.window._entries.get(position)
        return entry is None or not entry.outstanding

    @rule(seconds=st.sampled_from([1.0, 5.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    def see_parked(self) -> None:
        """A stream that is parked once more is not replayed any more."""
        for stream in list(self.replays):
            if not self.window.backlogs[stream].replaying:
                del self.replays[stream]

    # -- the operator, and crashes ----------------------------------------------------------------
    @rule()
    def replay(self) -> None:
        self.see_parked()
        for stream in self.window.replay(list(self.window.backlogs)):
            self.replays[stream] = self.window.backlogs[stream].first - 1

    @precondition(lambda self: self.window.backlogs)
    @rule(data=st.data(), following=st.booleans())
    def discard(self, data: st.DataObject, following: bool) -> None:
        self.see_parked()
        stream = data.draw(st.sampled_from(sorted(self.window.backlogs)))
        behind = self.window.backlogs[stream]
        first = behind.first
        last = self.window.through if following else first
        if not self.window.discard(stream, following):
            assert behind.replaying
            return
        self.done |= {one.position for one in self.log[first - 1 : last] if one.stream == stream}
        if not following:
            self.replays[stream] = first

    @rule()
    def store(self) -> None:
        behind = {
            stream: StreamBacklog(one.first, one.version, one.reason, one.attempts, one.replaying)
            for stream, one in self.window.backlogs.items()
        }
        self.stored = (self.window.through, self.window.open(), behind)

    @rule()
    def crash(self) -> None:
        """What was acknowledged since the last store may come again, and nothing else is forgotten."""
        through, positions, behind = self.stored
        behind = {
            stream: StreamBacklog(one.first, one.version, one.reason, one.attempts, one.replaying)
            for stream, one in behind.items()
        }
        self.window = window_of(through, behind)
        for position, attempts in positions:
            self.window.load(self.log[position - 1], attempts)
        self.replays = {stream: one.first - 1 for stream, one in behind.items() if one.replaying}
        self.out = {}
        self.done = {
            one.position
            for one in self.log[:through]
            if one.position not in dict(positions)
            and not (one.stream in behind and one.position >= behind[one.stream].first)
        }

    # -- what always holds -------------------------------------------------------------------------
    @invariant()
    def the_position_never_passes_an_event_that_is_open(self) -> None:
        waiting = {
            one.position
            for one in self.log[: self.window.through]
            if one.stream in self.window.backlogs and one.position >= self.window.backlogs[one.stream].first
        }
        for position in range(1, self.window.position + 1):
            assert position in self.done or position in waiting
        assert len(self.window) <= LIMIT

    @invariant()
    def nothing_loaded_is_lost(self) -> None:
        in_hand = {position for position, _ in self.window.open()}
        for one in self.log[: self.window.through]:
            behind = self.window.backlogs.get(one.stream)
            kept = one.position in in_hand or (behind is not None and one.position >= behind.first)
            assert kept != (one.position in self.done), one

    def teardown(self) -> None:
        """Left to itself, everything is delivered in the end, but for what stays parked."""
        self.release("x")
        self.release("y")
        self.now += 100.0
        for _ in itertools.repeat(None, 20 * len(self.log) + 20):
            self.load(LIMIT)
            for stream in sorted(self.replays):
                self.load_all_of(stream)
            position = self.take("x")[0]
            if position:
                self.ack((position, 0, "x"))
        parked = {stream: one.first for stream, one in self.window.backlogs.items()}
        assert not any(one.replaying for one in self.window.backlogs.values())
        for one in self.log:
            assert (one.position in self.done) != (one.position >= parked.get(one.stream, len(self.log) + 1))

    def load_all_of(self, stream: str) -> None:
        for recorded in self.log[self.replays[stream] : self.window.through]:
            if self.window.room <= 0:
                return
            self.replays[stream] = recorded.position
            if recorded.stream == stream:
                self.window.load_replayed(recorded)
        if self.window.replayed(stream):
            del self.replays[stream]


TestGroups = Groups.TestCase


def test_what_is_looked_through_lazily_stays_small_while_the_first_event_stays_open():
    window = window_of(0, {})
    window.load(an_event(1, "stuck"))
    assert window.take(0.0).recorded.position == 1
    for position in range(2, 10_000):
        window.load(an_event(position, f"s{position}"))
        window.loaded_through(position)
        entry = window.take(0.0)
        assert window.ack(entry.recorded.position)
    assert window.position == 0
    assert window.open() == [(1, 0)]
    assert len(window._timers._heap) < 200
    assert len(window._order) < 200


def test_an_acknowledgement_that_comes_late_counts():
    window = window_of(0, {})
    window.load(an_event(1))
    first = window.take(0.0)
    token = first.token
    assert window.take(ACK_TIMEOUT + 1).token != token
    assert not window.nak(1, token, ACK_TIMEOUT + 1, 0.0, "late")
    assert not window.extend(1, token, ACK_TIMEOUT + 1)
    assert window.ack(1)
    assert not window.ack(1)


def test_what_was_released_by_one_that_is_gone_does_not_count_as_a_delivery():
    window = window_of(0, {})
    window.load(an_event(1))
    for _ in range(2 * MOST):
        assert window.take(0.0, None, "x").attempts == 1
        window.release("x")
    assert not window.backlogs


def test_an_event_that_is_never_acknowledged_is_parked_with_what_follows():
    window = window_of(0, {})
    for position in (1, 2):
        window.load(an_event(position, version=position))
        window.loaded_through(position)
    now = 0.0
    for attempt in range(1, MOST + 1):
        assert window.take(now).attempts == attempt
        assert window.take(now) is None
        now += ACK_TIMEOUT
    assert window.take(now) is None
    assert window.backlogs["s"] == StreamBacklog(1, 1, "not acknowledged within 10 s", MOST)
    assert window.position == 2
    assert len(window) == 0


def test_a_late_acknowledgement_of_one_part_of_a_split_event_does_not_settle_the_next():
    window = window_of(0, {})
    parts = [RecordedPart(part, 2, 1, "s", 1, part, "Part", 0, "c") for part in (0, 1)]
    for one in (*parts, an_event(2, version=2)):
        window.load(one)
    window.loaded_through(2)
    assert window.take(0.0).recorded is parts[0]
    assert window.ack(1, 0)
    assert (window.position, window.take(0.0).recorded) == (0, parts[1])
    assert not window.ack(1, 0)
    assert window.open() == [(1, 0), (2, 0)]
    assert window.ack(1, 1)
    assert (window.position, window.take(0.0).recorded.position) == (1, 2)
