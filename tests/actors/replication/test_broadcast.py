from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.kernel.mailbox import IdleTimeout, Mailbox
from actors.replication.broadcast import Broadcast
from actors.replication.led_broadcast import LEADER_SECONDS, LedBroadcast
from actors.replication.messages import Applied, Apply, CatchUp, Committed
from actors.replication.model_copies import ModelCopies
from actors.replication.progress import Progress
from actors.replication.read_replica import ReadReplica
from actors.replication.rebuild_lock import RebuildQueue
from actors.replication.replica_turns import ReplicaTurns
from actors.replication.shared_changes import chain_of
from actors.replication.sync import Sync
from storage import RecordedEvent
from storage.log.stored_events import bounds
from storage.replica.build_changes import BuildChanges


def events(first, last):
    return [RecordedEvent(n, "s", n, None, "E", 0, f"c-{n}") for n in range(first, last + 1)]


def committed(broadcast, first, last, known=True):
    given = events(first, last) if known else None
    return [
        (name, order if isinstance(order, int) else [one.position for one in order])
        for name, order in broadcast.committed(first, last, given)
    ]


@pytest.fixture
def broadcast():
    """Two replicas that have joined at position 10, with a window of 5 events."""
    broadcast = Broadcast(["a", "b"], 10, window=5)
    for name in ("a", "b"):
        assert broadcast.applied(name, 10, joining=True) == []
    return broadcast


# -- one message at a time --------------------------------------------------------------------
def test_a_replica_that_is_up_to_date_gets_events_as_they_are_committed(broadcast):
    assert broadcast.live() == ["a", "b"]
    assert committed(broadcast, 11, 12) == [("a", [11, 12]), ("b", [11, 12])]
    assert committed(broadcast, 13, 13) == [("a", [13]), ("b", [13])]


def test_a_replica_counts_as_behind_until_it_reports():
    broadcast = Broadcast(["a"], 10)
    assert broadcast.live() == []
    assert committed(broadcast, 11, 11) == []
    assert broadcast.applied("a", 4, joining=True) == [("a", 11)]


def test_a_replica_that_is_behind_reads_the_log_in_batches_until_it_is_there():
    broadcast = Broadcast(["a"], 10)
    assert broadcast.applied("a", 0, joining=True) == [("a", 10)]
    assert broadcast.applied("a", 6) == [("a", 10)]
    assert committed(broadcast, 11, 11) == []
    assert broadcast.applied("a", 10) == [("a", 11)]
    assert broadcast.applied("a", 11) == []
    assert broadcast.live() == ["a"]
    assert committed(broadcast, 12, 12) == [("a", [12])]


def test_a_slow_replica_is_not_sent_more_than_a_window_and_then_reads_the_log(broadcast):
    broadcast.applied("b", 10)
    assert committed(broadcast, 11, 15) == [("a", [11, 12, 13, 14, 15]), ("b", [11, 12, 13, 14, 15])]
    assert broadcast.applied("b", 15) == []
    assert committed(broadcast, 16, 16) == [("b", [16])]
    assert broadcast.live() == ["b"]
    assert broadcast.applied("a", 12) == [], "what it was handed comes first"
    assert broadcast.applied("a", 15) == [("a", 16)]
    assert broadcast.applied("a", 16) == []
    assert broadcast.live() == ["a", "b"]


def test_a_commit_larger_than_the_window_is_read_from_the_log(broadcast):
    assert committed(broadcast, 11, 16) == [("a", 16), ("b", 16)]


def test_a_commit_whose_events_are_not_at_hand_is_read_from_the_log(broadcast):
    assert committed(broadcast, 11, 12, known=False) == [("a", 12), ("b", 12)]


def test_a_gap_in_the_news_is_read_from_the_log(broadcast):
    assert committed(broadcast, 13, 13) == [("a", 13), ("b", 13)]


def test_old_news_is_passed_over(broadcast):
    assert committed(broadcast, 9, 10) == []
    assert broadcast.head == 10


def test_a_replica_that_starts_anew_is_caught_up_from_where_it_is(broadcast):
    committed(broadcast, 11, 13)
    assert broadcast.applied("a", 11, joining=True) == [("a", 13)]
    assert broadcast.live() == ["b"]


# -- any order of everything ------------------------------------------------------------------
WINDOW = 8


class Log:
    """What a read replica needs of the log."""

    def __init__(self):
        self.events = []

    def read_commands(self, after, limit, until):
        return self.events[after : min(until, after + min(limit, 3))]


class Tables:
    """A projector of one model that notes what it applies, durably, or fails before that; it is its
    own slot.
    """

    damage = None
    building = ()
    differing = ()
    failure = None

    def __init__(self):
        self.applied = []
        self.recorded = ()
        self.made = 0
        """How many events it did not project itself."""
        self.fails = False
        self.projector = self.store = self
        self.runs = [self]

    @property
    def checkpoint(self):
        return self.position

    def readable(self):
        return True

    @property
    def position(self):
        return len(self.applied)

    def checkpoints(self):
        return []

    def take_recorded(self):
        return self.recorded

    def apply(self, given, runs, changes=()):
        if self.fails:
            self.fails = False
            raise RuntimeError("the replica dies")
        before = self.position
        new = [one.position for one in given if one.position > before]
        self.made += len(new) if chain_of(changes, "m", before, given[-1].position) else 0
        self.applied += new
        self.recorded = [BuildChanges("m", before, self.position, b"", before, self.position, [])]
        return []


class Simulation:
    """Sync and its replicas, with their own code but without threads: a step is one message of one
    of them.
    """

    def __init__(self, replicas, led):
        self.led = led
        self.now = 0.0
        self.log = Log()
        self.names = [f"replica-{number}" for number in range(1, replicas + 1)]
        self.progress = Progress(0, [], self.names)
        self.tables = {name: Tables() for name in self.names}
        self.sync_mailbox = Mailbox()
        self.mailboxes = {name: self._checked(name) for name in self.names}
        self.replicas = {}
        for name in self.names:
            self.start_replica(name)
        self.start_sync()

    def _checked(self, name):
        mailbox, tables = Mailbox(), self.tables[name]
        put = mailbox.put

        def checked_put(message):
            if message.__class__ is Apply:
                assert message.events[-1].position - tables.position <= WINDOW
            put(message)

        mailbox.put = checked_put
        return mailbox

    def start_replica(self, name):
        self.replicas[name] = ReadReplica(
            name,
            self.mailboxes[name],
            lambda *_: None,
            slot=self.tables[name],
            log=self.log,
            progress=self.progress,
            report=self.sync_mailbox.put,
            rebuild_lock=RebuildQueue(),
            share=0.5,
            copies=ModelCopies(name, {}),
            turns=ReplicaTurns(),
        )
        self.replicas[name].on_start()

    def start_sync(self):
        self.sync = Sync(
            "sync",
            self.sync_mailbox,
            lambda *_: None,
            replicas=self.mailboxes,
            progress=self.progress,
            window=WINDOW,
            led=self.led,
            clock=lambda: self.now,
        )
        self.sync.on_start()

    def commit(self, count, known):
        first = len(self.log.events) + 1
        new = events(first, first + count - 1)
        self.log.events += new
        self.progress.committed(new[-1].position)
        self.sync_mailbox.put(Committed(first, new[-1].position, new if known else None))

    def wait(self):
        """So long that a leader which has something to do counts as late."""
        self.now += LEADER_SECONDS
        self.sync.on_receive(IdleTimeout())

    def step_sync(self):
        if not self.sync_mailbox.empty():
            self.sync.on_receive(self.sync_mailbox.get())

    def step_replica(self, name):
        if not self.mailboxes[name].empty():
            self.replicas[name].on_receive(self.mailboxes[name].get())

    def lose_replica(self, name):
        """It dies on the messages in hand, or between two."""
        self.tables[name].fails = True
        with contextlib.suppress(RuntimeError):
            self.step_replica(name)
        self.tables[name].fails = False
        self.start_replica(name)

    def lose_sync(self):
        """It dies with all that it had taken out of its mailbox."""
        if not self.sync_mailbox.empty():
            self.sync_mailbox.get()
            self.sync_mailbox.drain(256)
        self.start_sync()

    def run_out(self):
        for _ in range(10_000):
            if self.sync_mailbox.empty() and all(mailbox.empty() for mailbox in self.mailboxes.values()):
                return
            self.step_sync()
            for name in self.names:
                self.step_replica(name)
        raise AssertionError("the messages never end")


steps = st.one_of(
    st.tuples(st.just("commit"), st.integers(1, 2 * WINDOW), st.booleans()),
    st.tuples(st.just("commit"), st.integers(1, 3), st.just(True)),
    st.tuples(st.just("sync")),
    st.tuples(st.just("replica"), st.integers(0, 2)),
    st.tuples(st.just("lose replica"), st.integers(0, 2)),
    st.tuples(st.just("lose sync")),
    st.tuples(st.just("wait")),
)


@given(st.lists(steps, max_size=60), st.booleans())
def test_every_replica_ends_with_every_position_once_and_in_order_whatever_happens(given, led):
    simulation = Simulation(3, led)
    for step, *arguments in given:
        if step == "commit":
            simulation.commit(*arguments)
        elif step == "sync":
            simulation.step_sync()
        elif step == "lose sync":
            simulation.lose_sync()
        elif step == "wait":
            simulation.wait()
        elif step == "replica":
            simulation.step_replica(simulation.names[arguments[0]])
        else:
            simulation.lose_replica(simulation.names[arguments[0]])
    simulation.run_out()
    for tables in simulation.tables.values():
        assert tables.applied == list(range(1, len(simulation.log.events) + 1))
    assert simulation.sync.broadcast.live() == simulation.names

    made = sum(tables.made for tables in simulation.tables.values())
    simulation.commit(1, True)
    simulation.step_sync()
    if led:
        simulation.run_out()
        assert sum(tables.made for tables in simulation.tables.values()) == made + 2, "one projects for all"
        return
    assert all(not mailbox.empty() for mailbox in simulation.mailboxes.values()), (
        "all are in the broadcast again"
    )
    assert isinstance(simulation.mailboxes["replica-1"].get(), Apply)


def test_messages_in_hand_when_sync_dies_are_made_up_for():
    simulation = Simulation(1, False)
    simulation.run_out()
    simulation.commit(2, True)
    simulation.sync_mailbox.put(Applied("replica-1", 0))
    simulation.lose_sync()
    simulation.run_out()
    assert simulation.tables["replica-1"].applied == [1, 2]


# -- one that leads ---------------------------------------------------------------------------
@pytest.fixture
def led():
    """Three replicas at position 10, the first of which leads and has got event 11."""
    led = LedBroadcast(["a", "b", "c"], 10)
    for name in ("a", "b", "c"):
        assert led.applied(Applied(name, 10, joining=True), 0.0) == []
    [(name, order)] = led.committed(11, 11, events(11, 11), 0.0)
    assert (led.leader, name, order.changes) == ("a", "a", ())
    return led


def sent(orders):
    return [
        (name, order.until if isinstance(order, CatchUp) else bounds(order.events)) for name, order in orders
    ]


def test_what_the_leader_changed_is_sent_to_those_that_were_where_it_was(led):
    shared = Apply(events(11, 11), [BuildChanges("m", 10, 11, b"", 0, 0, [])], "a")
    assert led.applied(Applied("a", 11, shared=shared), 0.0) == [("b", shared), ("c", shared)]
    assert sent(led.committed(12, 12, events(12, 12), 0.0)) == [("a", (12, 12))]


def test_what_the_leader_could_not_share_is_read_from_the_log(led):
    assert sent(led.applied(Applied("a", 11), 0.0)) == [("b", 11), ("c", 11)]


def test_a_leader_that_does_not_move_on_is_replaced(led):
    assert led.check(LEADER_SECONDS / 2, 11) == []
    assert led.check(LEADER_SECONDS * 1.4, 11) == [], "it came to event 11 just now"
    assert sent(led.check(LEADER_SECONDS * 1.5, 11)) == [("b", 11)]
    assert led.leader == "b"
    shared = Apply(events(11, 11), [BuildChanges("m", 10, 11, b"", 0, 0, [])], "b")
    assert led.applied(Applied("b", 11, shared=shared), 2.0) == [("c", shared)]
    # The former leader comes back: it has what it was sent.
    assert led.applied(Applied("a", 11), 2.0) == []
    assert sent(led.committed(12, 12, events(12, 12), 2.0)) == [("b", (12, 12))]


def test_a_leader_that_is_slow_and_moves_on_is_not_replaced(led):
    for second, at in enumerate(range(11, 20)):
        assert led.check(second * LEADER_SECONDS, at) == []
    assert led.leader == "a"


def test_a_leader_that_has_nothing_to_do_is_not_late(led):
    led.applied(Applied("a", 11), 0.0)
    assert not led.busy
    assert led.check(100.0, 0) == []


def test_another_one_leads_while_the_leader_has_a_build_to_fill(led):
    shared = Apply(events(11, 11), [BuildChanges("m", 10, 11, b"", 0, 0, [])], "a")
    orders = led.applied(Applied("a", 11, shared=shared, may_lead=False), 0.0)
    assert led.leader == "b"
    assert orders == [("b", shared), ("c", shared)]
    assert sent(led.committed(12, 12, events(12, 12), 0.0)) == [("b", (12, 12))]


def test_nobody_is_replaced_by_one_that_may_not_lead(led):
    for name in ("b", "c"):
        assert led.applied(Applied(name, 10, may_lead=False), 0.0) == []
    assert led.check(2 * LEADER_SECONDS, 0) == []
    assert led.leader == "a"


def test_the_most_advanced_one_leads():
    led = LedBroadcast(["a", "b"], 1000)
    assert sent(led.applied(Applied("a", 10, joining=True), 0.0)) == [("a", 1000)]
    assert led.applied(Applied("b", 1000, joining=True), 0.0) == []
    assert led.leader == "b"
    [(name, order)] = led.applied(Applied("a", 300), 0.0)
    assert (name, order.until, order.source) == ("a", 1000, "b")
