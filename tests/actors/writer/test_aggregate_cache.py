from __future__ import annotations

import pytest

from actors import DeciderFailed
from actors.testing._history import MemoryHistory, happened
from actors.writer.aggregate_cache import UNLOADED, AggregateCache, evolve
from tests.bank_domain import Account, Measured, Moved, Noted, Opened, bank


class CountingHistory(MemoryHistory):
    """Counts the events that are read, and may hold snapshots."""

    def __init__(self, domain):
        super().__init__(domain)
        self.read_events = 0
        self.snapshots = {}

    def read_stream(self, stream, after_version=0, limit=None):
        found = super().read_stream(stream, after_version, limit)
        self.read_events += len(found)
        return found

    def snapshot(self, stream):
        return self.snapshots.get(stream)


@pytest.fixture
def domain():
    return bank.compile()


@pytest.fixture
def spec(domain):
    return domain.states[Account]


@pytest.fixture
def history(domain):
    history = CountingHistory(domain)
    for event in (Opened("ann"), Moved("ann", 5), Opened("bob"), Noted("ann", "x"), Moved("ann", 2)):
        history.add(event)
    history.read_events = 0
    return history


def test_a_state_is_folded_from_its_events_once(domain, history, spec):
    cache = AggregateCache(domain, history, 10)
    assert cache.get("account-ann", spec) == (Account("ann", 7), 4)
    assert cache.get("account-ann", spec) == (Account("ann", 7), 4)
    assert history.read_events == 4


def test_a_new_stream_has_no_state_and_version_0(domain, history, spec):
    assert AggregateCache(domain, history, 10).get("account-eve", spec) == (None, 0)


def test_the_states_used_longest_ago_are_forgotten_beyond_the_limit(domain, history, spec):
    cache = AggregateCache(domain, history, 2)
    for stream in ("account-ann", "account-bob", "account-ann", "account-eve"):
        cache.get(stream, spec)
    assert len(cache) == 2
    history.read_events = 0
    cache.get("account-ann", spec)
    assert history.read_events == 0
    assert cache.get("account-bob", spec) == (Account("bob", 0), 1)
    assert history.read_events == 1


def test_what_was_put_is_there_and_what_was_cleared_is_read_again(domain, history, spec):
    cache = AggregateCache(domain, history, 2)
    cache.put("account-ann", (Account("ann", 99), 50))
    assert cache.get("account-ann", spec) == (Account("ann", 99), 50)
    cache.clear()
    assert len(cache) == 0
    assert cache.get("account-ann", spec) == (Account("ann", 7), 4)


def test_a_snapshot_saves_the_events_before_it(domain, history, spec):
    history.snapshots["account-ann"] = (3, spec.fingerprint, Account("ann", 5))
    assert AggregateCache(domain, history, 10).get("account-ann", spec) == (Account("ann", 7), 4)
    assert history.read_events == 1


def test_a_snapshot_of_another_shape_is_not_used(domain, history, spec):
    history.snapshots["account-ann"] = (3, "another", Account("ann", 1000))
    assert AggregateCache(domain, history, 10).get("account-ann", spec) == (Account("ann", 7), 4)
    assert history.read_events == 4


def test_a_long_stream_is_read_in_pieces(domain, history, spec):
    class Pieces(CountingHistory):
        longest = 0

        def read_stream(self, stream, after_version=0, limit=None):
            found = super().read_stream(stream, after_version, limit)
            self.longest = max(self.longest, len(found))
            return found

    long = Pieces(domain)
    long.add(Opened("ann"))
    [opened] = long.events
    long.events += [
        type(opened)(n, "account-ann", n, Moved("ann", 1), "Moved", 0, "c") for n in range(2, 2501)
    ]
    assert AggregateCache(domain, long, 10).get("account-ann", spec) == (Account("ann", 2499), 2500)
    assert long.longest == 1000


def test_facts_need_the_version_of_their_stream_alone(domain, history, spec):
    history.add(happened(Measured(1), stream="sensor-1"))
    history.read_events = 0
    cache = AggregateCache(domain, history, 10)
    assert cache.get("sensor-1", None) == (UNLOADED, 1)
    assert cache.get("account-ann", None) == (UNLOADED, 4)
    assert history.read_events == 0
    assert cache.get("account-ann", spec) == (Account("ann", 7), 4)
    assert cache.get("account-ann", None) == (Account("ann", 7), 4)


def test_an_event_without_effect_leaves_the_state(domain):
    account = Account("ann", 5)
    assert evolve(domain, account, Noted("ann", "x")) is account
    assert evolve(domain, None, Measured(1)) is None


def test_an_event_that_nobody_evolves_there_is_refused(domain):
    with pytest.raises(DeciderFailed, match="event Opened has no evolver for Account"):
        evolve(domain, Account("ann", 5), Opened("ann"))
