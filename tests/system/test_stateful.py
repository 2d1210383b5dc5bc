"""The whole system against a plain-Python model: any interleaving of what callers, faults and
operators do.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors import CommandIdReused, ConcurrencyConflict, Receipt, Rejected, Session, System, View
from tests.helpers import quick_folder
from tests.system.checks import check_all, check_receipt
from tests.system.depot import (
    EntryCount,
    Increment,
    Line,
    Measured,
    PlaceOrder,
    Stock,
    Stocked,
    StockOf,
    TotalOf,
    Touch,
    counters,
    depot,
    entries,
    items,
    journal,
    shelves,
    tally,
)

SKUS = ("lamp", "desk", "chair")
COUNTERS = ("a", "b")
ORDERS = ("o1", "o2", "o3", "o4")

skus = st.sampled_from(SKUS)
names = st.sampled_from(COUNTERS)
lines = st.lists(st.builds(Line, skus, st.integers(1, 4)), max_size=4).map(tuple)
commands = st.one_of(
    st.builds(Increment, names, st.integers(1, 9)),
    st.builds(Stock, skus, st.integers(0, 6)),
    st.builds(PlaceOrder, st.sampled_from(ORDERS), lines),
    st.builds(Touch, names),
)
ids = st.sampled_from([f"id-{number}" for number in range(6)])
actors = st.sampled_from(["command-handler", "sync", "replica-1", "replica-1.query-1"])


class Model:
    """The depot in plain dicts: what each command has to give, and where the log has to be."""

    def __init__(self) -> None:
        self.position = 0
        self.versions: dict[str, int] = {}
        self.stock: dict[str, int] = {}
        self.totals: dict[str, int] = {}
        self.orders: set[str] = set()
        self.done: dict[str, tuple[Any, Receipt]] = {}

    def stream_of(self, command: Any) -> str:
        match command:
            case Stock(sku=sku):
                return f"item-{sku}"
            case PlaceOrder(order=order):
                return f"order-{order}"
            case _:
                return f"counter-{command.name}"

    def decide(self, command: Any) -> list[str] | str:
        """The streams that the command's events go to, in order, or the code of its rejection; changes
        nothing.
        """
        if isinstance(command, Stock):
            return [f"item-{command.sku}"] if command.amount else "stock.nothing"
        if isinstance(command, Increment):
            return [f"counter-{command.name}"]
        if isinstance(command, Touch):
            return []
        if command.order in self.orders:
            return "order.exists"
        left = dict(self.stock)
        for line in command.lines:
            left[line.sku] = left.get(line.sku, 0) - line.amount
            if left[line.sku] < 0:
                return "stock.short"
        return [f"order-{command.order}", *(f"item-{line.sku}" for line in command.lines)]

    def do(self, command: Any) -> None:
        """Note what an accepted command changes."""
        streams = self.decide(command)
        assert isinstance(streams, list)
        self.wrote(streams)
        match command:
            case Stock(sku=sku, amount=amount):
                self.stock[sku] = self.stock.get(sku, 0) + amount
            case Increment(name=name, by=by):
                self.totals[name] = self.totals.get(name, 0) + by
            case PlaceOrder(order=order, lines=taken):
                self.orders.add(order)
                for line in taken:
                    self.stock[line.sku] -= line.amount

    def wrote(self, streams: list[str]) -> None:
        self.position += len(streams)
        for stream in streams:
            self.versions[stream] = self.versions.get(stream, 0) + 1


class SystemMachine(RuleBasedStateMachine):
    """Each rule does one thing to the system and to the model; the model says what must have come of it."""

    def __init__(self) -> None:
        super().__init__()
        # In memory: a machine opens stores all the time, and waits for the disk far longer than it works.
        self.folder = quick_folder()
        self.path = Path(self.folder.name, "store")
        self.model = Model()
        self.system: System
        self.session: Session
        self.session_saw = 0
        self.view: View | None = None
        self.seen: tuple[Any, ...] = ()

    @initialize()
    def first(self) -> None:
        self.open(2)

    def open(self, replicas: int) -> None:
        # Small caches: states are built again from snapshots and events all the time.
        self.system = System.open(self.path, depot, replicas=replicas, cache_states=2)
        self.session = self.system.session(self.session_saw)

    def teardown(self) -> None:
        try:
            with self.system:
                self.close_view()
                check_all(self.system)
        finally:
            self.folder.cleanup()

    # -- commands -------------------------------------------------------------------------
    def expect(self, command: Any, receipt: Receipt) -> None:
        """The receipt is the one that the model foretells; then the model goes on."""
        model = self.model
        before = model.position
        streams = model.decide(command)
        assert isinstance(streams, list), f"{command} was accepted, not {streams}"
        model.do(command)
        assert receipt.stream == model.stream_of(command)
        assert (receipt.first, receipt.last) == ((before + 1, model.position) if streams else (0, 0))
        assert receipt.position == model.position
        assert dict(receipt.versions) == {stream: model.versions[stream] for stream in streams}
        assert receipt.version == model.versions.get(receipt.stream, 0)

    @rule(command=commands, in_session=st.booleans())
    def execute(self, command: Any, in_session: bool) -> None:
        expected = self.model.decide(command)
        caller = self.session if in_session else self.system
        if isinstance(expected, str):
            with pytest.raises(Rejected) as rejected:
                caller.execute(command)
            assert rejected.value.code == expected
        else:
            self.expect(command, caller.execute(command))
            if in_session:
                self.session_saw = self.model.position

    @rule(command=commands, command_id=ids)
    def execute_by_id(self, command: Any, command_id: str) -> None:
        known = self.model.done.get(command_id)
        if known is not None and known[0] != command:
            with pytest.raises(CommandIdReused):
                self.system.execute(command, command_id=command_id)
            command = known[0]
        if known is not None:
            assert self.system.execute(command, command_id=command_id) == known[1]
            return
        expected = self.model.decide(command)
        if isinstance(expected, str):
            with pytest.raises(Rejected):
                self.system.execute(command, command_id=command_id)
            return
        receipt = self.system.execute(command, command_id=command_id)
        self.expect(command, receipt)
        self.model.done[command_id] = command, receipt

    @rule(command=commands, off=st.sampled_from([0, 0, -1, 1]))
    def execute_expecting(self, command: Any, off: int) -> None:
        stream = self.model.stream_of(command)
        actual = self.model.versions.get(stream, 0)
        expected = self.model.decide(command)
        if off and actual + off >= 0:
            with pytest.raises(ConcurrencyConflict) as conflict:
                self.system.execute(command, expected_version=actual + off)
            assert (conflict.value.stream, conflict.value.actual) == (stream, actual)
        elif isinstance(expected, list):
            self.expect(command, self.system.execute(command, expected_version=actual))

    @rule(several=st.lists(commands, max_size=8), way=st.sampled_from(["many", "submit"]))
    def execute_several(self, several: list[Any], way: str) -> None:
        outcomes: list[Any]
        if way == "many":
            outcomes = self.system.execute_many(several, return_exceptions=True)
        else:
            futures = [self.system.submit(command) for command in several]
            outcomes = [future.exception(10) or future.result() for future in futures]
        for command, outcome in zip(several, outcomes, strict=True):
            expected = self.model.decide(command)
            if isinstance(expected, str):
                assert isinstance(outcome, Rejected)
                assert outcome.code == expected
            else:
                self.expect(command, outcome)

    @rule(
        sku=skus,
        kinds=st.lists(st.booleans(), min_size=1, max_size=3),
        off=st.sampled_from([None, 0, 1]),
    )
    def append(self, sku: str, kinds: list[bool], off: int | None) -> None:
        stream = f"item-{sku}"
        facts = [Stocked(sku, 1) if stocked else Measured(sku, 7) for stocked in kinds]
        version = self.model.versions.get(stream, 0)
        if off:
            with pytest.raises(ConcurrencyConflict):
                self.system.append(stream, facts, expected_version=version + off)
            return
        receipt = self.system.append(stream, facts, expected_version=None if off is None else version)
        if any(kinds):
            self.model.stock[sku] = self.model.stock.get(sku, 0) + sum(kinds)
        self.model.wrote([stream] * len(kinds))
        assert receipt.last == self.model.position
        assert receipt.version == self.model.versions[stream]

    # -- queries --------------------------------------------------------------------------
    @rule(sku=skus, name=names)
    def query_strongly(self, sku: str, name: str) -> None:
        assert self.system.query(StockOf(sku), consistency="strong") == self.model.stock.get(sku)
        assert self.system.query(TotalOf(name), max_lag=0) == self.model.totals.get(name, 0)
        assert self.system.query(EntryCount(), after=self.model.position) == self.model.position

    @rule(lag=st.integers(0, 5))
    def query_with_lag(self, lag: int) -> None:
        assert (
            self.model.position - lag <= self.system.query(EntryCount(), max_lag=lag) <= self.model.position
        )

    @rule()
    def query_eventually(self) -> None:
        assert self.system.query(EntryCount()) <= self.model.position

    @rule()
    def query_in_session(self) -> None:
        count = self.session.query(EntryCount())
        assert self.session_saw <= count <= self.model.position
        self.session_saw = count

    @rule(sku=skus, name=names)
    def query_together(self, sku: str, name: str) -> None:
        stock, total, count = self.system.query_many(
            [StockOf(sku), TotalOf(name), EntryCount()], consistency="strong"
        )
        model = self.model
        assert (stock, total, count) == (model.stock.get(sku), model.totals.get(name, 0), model.position)

    # -- views ----------------------------------------------------------------------------
    def look(self, view: View) -> tuple[Any, ...]:
        return (
            {row["sku"]: row["stock"] for row in view[items].all()},
            {row["name"]: row["total"] for row in view[counters].all()},
            view[entries].count(),
            view.position(),
        )

    @precondition(lambda self: self.view is None)
    @rule()
    def open_view(self) -> None:
        self.view = self.system.view(shelves, tally, journal, consistency="strong")
        self.seen = (
            self.model.stock.copy(),
            self.model.totals.copy(),
            self.model.position,
            self.model.position,
        )

    @precondition(lambda self: self.view is not None)
    @rule()
    def look_again(self) -> None:
        assert self.view is not None
        assert self.look(self.view) == self.seen

    @rule()
    def close_view(self) -> None:
        if self.view is not None:
            self.look_again()
            self.view.close()
            self.view = None

    # -- faults and operations ------------------------------------------------------------
    @rule(name=actors)
    def kill(self, name: str) -> None:
        assert self.system.kill(name)

    @rule(
        replicas=st.sampled_from([1, 2, 2, 3]),
        lost=st.none() | st.sampled_from(["replica-1", "replica-2"]),
    )
    def close_and_open(self, replicas: int, lost: str | None) -> None:
        self.close_view()
        self.system.close()
        if lost is not None:
            shutil.rmtree(self.path / "replicas" / lost, ignore_errors=True)
        self.open(replicas)

    # -- always ---------------------------------------------------------------------------
    @invariant()
    def position_is_the_models(self) -> None:
        if hasattr(self, "system"):
            assert self.system.position == self.model.position

    @rule()
    def check_everything(self) -> None:
        events = check_all(self.system)
        assert len(events) == self.model.position
        assert [recorded.version for recorded in events if recorded.stream == "counter-a"] == list(
            range(1, self.model.versions.get("counter-a", 0) + 1)
        )
        for _, receipt in self.model.done.values():
            check_receipt(receipt, events)


class TestSystem(SystemMachine.TestCase):
    """What the machine finds is printed as the steps that lead there."""
