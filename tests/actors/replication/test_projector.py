from __future__ import annotations

import sys

import pytest

from actors import Domain
from actors.replication.projector import Projector
from storage import RecordedEvent, ReplicaStore, StoreFull, UnknownType
from storage.log.records import Undecodable
from storage.replica.open_builds import OpenBuilds

POISON = 13


@pytest.fixture
def domain():
    """Two models of the same numbers; `sums` can't stand some of them."""
    domain = Domain("numbers")

    @domain.event(state=None)
    class Counted:
        number: int

    @domain.event(state=None)
    class Ignored:
        number: int

    all_numbers = domain.read_model("all")
    rows = all_numbers.table("rows", key="position")

    @all_numbers.on(Counted)
    def keep(event, tables, recorded):
        tables[rows].put({"position": recorded.position, "number": event.number})

    sums = domain.read_model("sums")
    totals = sums.table("totals", key="name", indexes=["total"])

    @sums.on(Counted)
    def add(event, tables):
        domain.seen.append(event.number)
        row = tables[totals].get("sum") or {"name": "sum", "total": 0}
        tables[totals].put({**row, "total": row["total"] + event.number})
        if event.number == POISON:
            domain.poison()

    def poison():
        raise RuntimeError("thirteen")

    domain.counted, domain.ignored, domain.seen, domain.poison = Counted, Ignored, [], poison
    domain.all_numbers, domain.sums = all_numbers, sums
    return domain


@pytest.fixture
def replica(domain, tmp_path):
    """A replica's tables and the projector over them."""
    compiled = domain.compile()
    models = list(compiled.models.values())
    with ReplicaStore.open(
        tmp_path / "replica",
        [model.schema for model in models],
        compiled.codec,
        history_id="0" * 32,
        log_head=10_000,
        map_size=1 << 26,
    ) as store:
        yield Replica(domain, store, models)


class Replica:
    def __init__(self, domain, store, models):
        self.domain, self.store, self.models = domain, store, models
        self.projector = Projector(store, models)

    def events(self, numbers, first=1):
        return [
            RecordedEvent(position, "s", position, self.domain.counted(number), "Counted", 0, f"c-{position}")
            for position, number in enumerate(numbers, first)
        ]

    def command(self, numbers, first=1):
        """The events of one command."""
        events = self.events(numbers, first)
        for event in events:
            event.command_id = f"command-{first}"
        return events

    def apply(self, numbers, first=1, runs=None):
        return [run.model.name for run in self.projector.apply(self.events(numbers, first), runs)]

    def run_of(self, name):
        return next(run for run in self.projector.runs if run.model.name == name)

    @property
    def kept(self):
        return [row["number"] for row in self.store.dump("all")["rows"]]

    @property
    def sum(self):
        rows = self.store.dump("sums")["totals"]
        return rows[0]["total"] if rows else None


def test_every_model_gets_every_event_in_order_with_its_checkpoint(replica):
    assert replica.apply([1, 2, 3]) == []
    assert replica.apply([4], first=4) == []
    assert (replica.kept, replica.sum) == ([1, 2, 3, 4], 10)
    assert replica.store.checkpoints() == {"all": 4, "sums": 4}
    assert replica.projector.position == 4
    assert replica.projector.applied_events == 4


def test_events_that_were_applied_already_are_passed_over(replica):
    replica.apply([1, 2, 3])
    replica.apply([1, 2, 3, 4])
    replica.apply([1, 2])
    assert (replica.kept, replica.sum) == ([1, 2, 3, 4], 10)
    assert replica.store.checkpoints() == {"all": 4, "sums": 4}


def test_events_that_no_projection_takes_move_the_checkpoint(replica):
    event = RecordedEvent(1, "s", 1, replica.domain.ignored(1), "Ignored", 0, "c")
    replica.projector.apply([event])
    assert replica.store.checkpoints() == {"all": 1, "sums": 1}
    assert replica.kept == []


@pytest.mark.parametrize("before", [[], [1, 2]], ids=["at the beginning", "in the middle"])
@pytest.mark.parametrize("after", [[], [4, 5]], ids=["last", "with more behind it"])
def test_a_poisoned_event_stops_one_model_there_and_keeps_the_others(replica, before, after):
    assert replica.apply([*before, POISON, *after]) == ["sums"]
    assert replica.kept == [*before, POISON, *after]
    assert replica.sum == (sum(before) if before else None)
    assert replica.store.checkpoints() == {"all": len(before) + 1 + len(after), "sums": len(before)}
    assert [run.model.name for run in replica.projector.running()] == ["all"]
    assert replica.projector.position == len(before) + 1 + len(after)


def test_a_failure_tells_the_event_the_error_and_the_traceback(replica):
    replica.apply([1, POISON])
    failure = replica.run_of("sums").failure
    assert (failure.position, failure.type, failure.attempts) == (2, "Counted", 1)
    assert failure.error == "RuntimeError: thirteen"
    assert failure.text.startswith("Traceback")
    assert "in poison" in failure.text


def test_a_stopped_model_is_left_out_of_what_follows(replica):
    replica.apply([1, POISON])
    assert replica.apply([3, 4], first=3) == []
    assert (replica.kept, replica.sum) == ([1, POISON, 3, 4], 1)
    assert replica.store.checkpoints() == {"all": 4, "sums": 1}


def test_a_stopped_model_that_fails_again_counts_its_attempts(replica):
    replica.apply([1, POISON, 3])
    for attempts in (2, 3):
        assert replica.apply([POISON, 3], first=2, runs=[replica.run_of("sums")]) == ["sums"]
        assert replica.run_of("sums").failure.attempts == attempts
    assert replica.sum == 1


def test_a_mended_model_goes_on_at_the_event_it_stopped_at(replica):
    replica.apply([1, POISON, 3])
    replica.domain.poison = lambda: None
    assert replica.apply([POISON, 3], first=2, runs=[replica.run_of("sums")]) == []
    assert (replica.kept, replica.sum) == ([1, POISON, 3], 4 + POISON)
    assert replica.store.checkpoints() == {"all": 3, "sums": 3}


@pytest.mark.parametrize(
    "raised", [SystemExit, KeyboardInterrupt, MemoryError], ids=lambda kind: kind.__name__
)
def test_whatever_a_projection_raises_stops_its_model_alone(replica, raised):
    def poison():
        raise raised("thirteen")

    replica.domain.poison = poison
    assert replica.apply([1, POISON, 3]) == ["sums"]
    assert (replica.kept, replica.sum) == ([1, POISON, 3], 1)


@pytest.mark.parametrize(
    "bad", [float("nan"), "x" * 600, object()], ids=["NaN", "too long a key", "no value"]
)
def test_a_row_that_the_tables_refuse_stops_its_model_at_its_event(replica, bad):
    [add] = replica.domain.sums.handlers.values()
    totals = replica.domain.sums.tables[0]

    def put(event, tables):
        if event.number == POISON:
            tables[totals].put({"name": "bad", "total": bad})
        else:
            add.fn(event, tables)

    replica.domain.sums.handlers[replica.domain.counted] = type(add)(put, wants_recorded=False)
    assert replica.apply([1, 2, POISON, 4]) == ["sums"]
    assert (replica.kept, replica.sum) == ([1, 2, POISON, 4], 3)
    assert replica.store.checkpoints() == {"all": 4, "sums": 2}
    assert replica.run_of("sums").failure.position == 3


# -- commands of several events ---------------------------------------------------------------
def names(runs):
    return [run.model.name for run in runs]


@pytest.mark.parametrize("at", [0, 1, 2], ids=["first", "middle", "last"])
def test_a_model_that_stops_has_nothing_of_the_command(replica, at):
    numbers = [3, 4, 5]
    numbers[at] = POISON
    events = [*replica.events([1, 2]), *replica.command(numbers, first=3), *replica.events([6], first=6)]
    assert names(replica.projector.apply(events)) == ["sums"]
    assert replica.kept == [1, 2, *numbers, 6]
    assert replica.sum == 3
    assert replica.store.checkpoints() == {"all": 6, "sums": 2}
    assert replica.run_of("sums").failure.position == 3 + at
    replica.domain.poison = lambda: None
    assert replica.projector.apply(events, [replica.run_of("sums")]) == []
    assert replica.sum == 3 + sum(numbers) + 6


def test_what_the_tables_refuse_is_found_within_its_command(replica):
    [add] = replica.domain.sums.handlers.values()
    totals = replica.domain.sums.tables[0]

    def put(event, tables):
        if event.number == POISON:
            tables[totals].put({"name": "bad", "total": object()})
        else:
            add.fn(event, tables)

    replica.domain.sums.handlers[replica.domain.counted] = type(add)(put, wants_recorded=False)
    events = [
        *replica.command([1, 2]),
        *replica.command([3, POISON, 5], first=3),
        *replica.command([6, 7], first=6),
    ]
    assert names(replica.projector.apply(events)) == ["sums"]
    assert replica.kept == [1, 2, 3, POISON, 5, 6, 7]
    assert replica.sum == 3
    assert replica.run_of("sums").failure.position == 4


def test_what_the_tables_refuse_is_found_by_halves_and_not_command_by_command(replica, monkeypatch):
    [add] = replica.domain.sums.handlers.values()
    totals = replica.domain.sums.tables[0]

    def put(event, tables):
        if event.number == POISON:
            tables[totals].put({"name": "bad", "total": object()})
        else:
            add.fn(event, tables)

    replica.domain.sums.handlers[replica.domain.counted] = type(add)(put, wants_recorded=False)
    begun = []
    write = ReplicaStore.write
    monkeypatch.setattr(ReplicaStore, "write", lambda store: begun.append(store) or write(store))
    numbers = [2] * 1000
    numbers[700] = POISON
    assert replica.apply(numbers) == ["sums"]
    assert replica.kept == numbers
    assert (replica.sum, replica.run_of("sums").failure.position) == (1400, 701)
    assert len(begun) < 40


def test_what_can_not_be_decoded_stops_the_models_that_do_not_skip_it(replica, monkeypatch):
    error = UnknownType("no such class")
    events = [*replica.events([1]), *replica.command([2, 3, 4], first=2)]
    events[2].event = Undecodable(error, {})
    monkeypatch.setattr(replica.projector._skips, "of", lambda name: {3} if name == "all" else ())
    assert names(replica.projector.apply(events)) == ["sums"]
    assert replica.kept == [1, 2, 4]
    assert replica.sum == 1
    assert replica.run_of("sums").failure.position == 3
    assert replica.run_of("sums").failure.error == "UnknownType: no such class"


def test_a_command_that_there_is_no_room_for_is_not_there_in_part(replica, monkeypatch):
    events = [*replica.command([1, 2]), *replica.command([3, 4, 5], first=3), *replica.events([6], first=6)]
    commit = OpenBuilds.commit

    def full(held, access, marks, *others):
        if any(mark[0] > 2 for mark in marks.values()):
            raise StoreFull("no room")
        commit(held, access, marks, *others)

    monkeypatch.setattr(OpenBuilds, "commit", full)
    assert names(replica.projector.apply(events)) == ["all", "sums"]
    assert (replica.kept, replica.sum) == ([1, 2], 3)
    assert replica.store.checkpoints() == {"all": 2, "sums": 2}
    failure = replica.run_of("sums").failure
    assert (failure.position, failure.full) == (3, True)
    monkeypatch.undo()
    assert replica.projector.apply(events, replica.projector.runs) == []
    assert (replica.kept, replica.sum) == ([1, 2, 3, 4, 5, 6], 21)


def test_both_models_may_stop_at_different_events(replica):
    [keep] = replica.domain.all_numbers.handlers.values()

    def picky(event, tables, recorded):
        if event.number == 2:
            raise ValueError("two")
        keep.fn(event, tables, recorded)

    replica.domain.all_numbers.handlers[replica.domain.counted] = type(keep)(picky, wants_recorded=True)
    assert sorted(replica.apply([1, 2, POISON, 4])) == ["all", "sums"]
    assert (replica.kept, replica.sum) == ([1], 3)
    assert replica.store.checkpoints() == {"all": 1, "sums": 2}
    assert replica.projector.position == 2


def test_a_new_projector_goes_on_from_the_checkpoints(replica):
    replica.apply([1, POISON, 3])
    again = Projector(replica.store, replica.models)
    assert {run.model.name: run.checkpoint for run in again.runs} == {"all": 3, "sums": 1}
    assert again.position == 3, "the model behind it catches up by itself"
    replica.domain.poison = lambda: None
    replica.domain.seen.clear()
    again.apply(replica.events([1, POISON, 3, 4]))
    assert replica.domain.seen == [POISON, 3, 4]
    assert (replica.kept, replica.sum) == ([1, POISON, 3, 4], 8 + POISON)


def test_a_failing_transaction_leaves_tables_and_checkpoints_as_they_were(replica, monkeypatch):
    replica.apply([1])
    monkeypatch.setattr(
        "storage.replica.write_transaction.WriteTransaction.set_checkpoint",
        lambda *_: sys.exit("no checkpoint today"),
    )
    with pytest.raises(SystemExit):
        replica.apply([2, 3], first=2)
    monkeypatch.undo()
    assert (replica.kept, replica.sum) == ([1], 1)
    assert replica.projector.position == 1
    replica.apply([2, 3], first=2)
    assert (replica.kept, replica.sum) == ([1, 2, 3], 6)
