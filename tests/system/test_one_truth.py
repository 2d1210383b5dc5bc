"""Whatever lives on after a command was decided is what reading the log gives: nobody shares a list, no zone
is lost.
"""

from __future__ import annotations

import dataclasses
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import Do, Domain, Rejected, Rejection, System
from actors.testing import given as given_events
from actors.testing import happened
from storage.codec.codec import Codec
from tests import inside
from tests.helpers import PATIENCE, wait_until
from tests.system import nights

BERLIN = ZoneInfo("Europe/Berlin")

shelves = Domain("shelves")
gate = threading.Event()
deciding = threading.Event()


@shelves.value
class Label:
    text: Any


@shelves.state(stream="shelf-{shelf}")
class Shelf:
    shelf: str
    books: Any


@shelves.event(Shelf, tags="all")
class Filled:
    shelf: str
    books: Any


@shelves.command(Shelf)
class Fill:
    shelf: str
    books: Any


@shelves.command(Shelf)
class Wait:
    shelf: str


@shelves.command(Shelf)
class Look:
    shelf: str


@shelves.command(Shelf)
class CopyTagged:
    shelf: str


@shelves.decide
def fill(shelf: Shelf | None, command: Fill) -> Any:
    yield Filled(command.shelf, command.books)


@shelves.decide
def hold(shelf: Shelf | None, command: Wait) -> Any:
    deciding.set()
    assert gate.wait(PATIENCE)
    return ()


@shelves.decide
def look(shelf: Shelf, command: Look) -> Any:
    raise Rejected("see its details", code="looked", books=shelf.books, of={"any": object}, seen={1, 2})


@shelves.decide
def copy_tagged(shelf: Shelf | None, command: CopyTagged, read: Any) -> Any:
    for event in read.tagged("all"):
        if isinstance(event.books, list):
            event.books.append("changed by a decider")
    yield Filled(command.shelf, [])


@shelves.evolve
def filled(shelf: Shelf | None, event: Filled) -> Shelf:
    return Shelf(event.shelf, event.books)


def spoil(value: Any) -> None:
    """Change every list and dict in a value."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            spoil(getattr(value, field.name))
    elif isinstance(value, (list, tuple)):
        for one in value:
            spoil(one)
        if isinstance(value, list):
            value.append("spoilt")
    elif isinstance(value, dict):
        for one in value.values():
            spoil(one)
        value["spoilt"] = True


def read_model(name: str, spoils: bool, **options: Any) -> Any:
    model = shelves.read_model(name, **options)
    table = model.table("rows", key="position")

    @model.on
    def on_filled(event: Filled, tables: Any, recorded: Any) -> None:
        row = {"position": recorded.position, "books": event.books, "metadata": recorded.metadata}
        tables[table].put(row)
        if spoils:
            spoil(event)
            spoil(recorded.metadata)
            spoil(row)
            spoil(tables[table].get(recorded.position))

    return model


# In the order in which they take an event: the first changes what it gets.
spoiling, rows = read_model("a-spoiling", True), read_model("rows", False)
spoiling_inline, inline = (
    read_model("b-spoiling", True, inline=True),
    read_model("inline", False, inline=True),
)


@shelves.query(reads=[rows])
class BooksAt:
    positions: list[int]

    def run(self, view: Any) -> Any:
        return [row["books"] for row in view[rows.tables[0]].get_many(self.positions) if row]


MODELS = (spoiling, rows, spoiling_inline, inline)


@pytest.fixture
def system(store_path: Path) -> Iterator[System]:
    with System.open(store_path, shelves, replicas=2) as system:
        yield system


def everywhere(system: System) -> list[list[Any]]:
    """The books of every event by position, from each place that has them."""
    system.wait_applied()
    found = [[recorded.event.books for recorded in system.subscribe(0, until=system.position)]]
    for replica in ("replica-1", "replica-2"):
        for model in (spoiling, rows):
            found.append([row["books"] for row in system.dump(replica, model)["rows"]])
    for model in (spoiling_inline, inline):
        with system.view(model) as view:
            found.append([row["books"] for row in view[model.tables[0]].all()])
    return found


def same_everywhere(system: System, *books: Any) -> None:
    assert everywhere(system) == [list(books)] * 7


def state_of(system: System, shelf: str) -> Any:
    with pytest.raises(Rejected) as caught:
        system.execute(Look(shelf))
    return caught.value.details["books"]


def nested() -> Any:
    return {"list": [1, ["deep", {"k": [2]}]], "value": Label([3]), "tuple": (Label([4]), [5])}


def test_a_caller_that_collects_sends_and_clears_changes_nothing_that_was_sent(system: System) -> None:
    batch: list[str] = []
    for shelf in "abc":
        batch += [f"{shelf}1", f"{shelf}2"]
        system.execute(Fill(shelf, batch))
        batch.clear()
    for number in range(3):
        batch.append(str(number))
        system.append("shelf-d", [Filled("d", batch)])
        batch.clear()
    expected = [["a1", "a2"], ["b1", "b2"], ["c1", "c2"], ["0"], ["1"], ["2"]]
    same_everywhere(system, *expected)
    assert state_of(system, "a") == ["a1", "a2"]


def test_what_a_caller_changes_after_submit_is_in_nothing(system: System) -> None:
    deciding.clear()
    gate.clear()
    held = system.submit(Wait("w"))
    assert deciding.wait(PATIENCE)
    books, fact, metadata = ["a"], ["b"], {"by": ["c"]}
    by_submit = system.submit(Fill("a", books), command_id="once", metadata=metadata, causation_id="why")
    by_append = threading.Thread(
        target=lambda: system.append("shelf-b", [Filled("b", fact)], metadata=metadata)
    )
    by_append.start()
    wait_until(lambda: len(inside.writer_mailbox(system)) >= 2)
    for one in (books, fact, metadata):
        one.clear()
    gate.set()
    held.result(PATIENCE)
    assert by_submit.result(PATIENCE).events[0].books == ["a"]
    by_append.join(PATIENCE)
    same_everywhere(system, ["a"], ["b"])
    assert [one.metadata for one in system.subscribe(0, until=2)] == [{"by": ["c"]}] * 2
    # The digest is of the same value.
    assert system.execute(Fill("a", ["a"]), command_id="once") == by_submit.result()
    assert system.position == 2


@pytest.mark.parametrize("call", ["execute", "submit", "execute_many", "append"])
def test_what_a_caller_does_to_a_receipt_is_in_nothing_else(system: System, call: str) -> None:
    receipts = {
        "execute": lambda: system.execute(Fill("a", nested()), command_id="once"),
        "submit": lambda: system.submit(Fill("a", nested()), command_id="once").result(PATIENCE),
        "execute_many": lambda: system.execute_many([Fill("a", nested())])[0],
        "append": lambda: system.append("shelf-a", [Filled("a", nested())], command_id="once"),
    }
    receipt = receipts[call]()
    spoil(receipt.events)
    receipt.versions.clear()
    same_everywhere(system, nested())
    assert state_of(system, "a") == nested()
    if call != "execute_many":
        again = receipts[call]()
        assert again.events[0].books == nested()
        spoil(again.events)
        assert receipts[call]().events[0].books == nested()


def test_receipts_of_one_id_twice_in_a_batch_share_nothing(system: System) -> None:
    deciding.clear()
    gate.clear()
    held = system.submit(Wait("w"))
    assert deciding.wait(PATIENCE)
    first, second = (system.submit(Fill("a", [1]), command_id="once") for _ in range(2))
    gate.set()
    held.result(PATIENCE)
    spoil(first.result(PATIENCE).events)
    assert second.result(PATIENCE).events[0].books == [1]
    assert system.position == 1


def test_details_of_a_refusal_are_the_callers_own(system: System) -> None:
    system.execute(Fill("a", {"list": [1], "value": Label([2])}))
    for _ in range(2):
        with pytest.raises(Rejected) as caught:
            system.execute(Look("a"))
        details = caught.value.details
        books = {"list": [1], "value": Label([2])}
        assert details == {"books": books, "of": {"any": object}, "seen": {1, 2}}
        spoil(details)
        details["seen"].clear()
    assert state_of(system, "a") == books


def test_what_a_decider_does_to_the_events_of_a_tag_is_in_nothing(system: System) -> None:
    deciding.clear()
    gate.clear()
    held = system.submit(Wait("w"))
    assert deciding.wait(PATIENCE)
    # In one batch: the events of the tag are not on disk yet.
    futures = [system.submit(one) for one in (Fill("a", [1]), CopyTagged("b"), CopyTagged("b"))]
    gate.set()
    held.result(PATIENCE)
    assert [future.result(PATIENCE).events[0].books for future in futures] == [[1], [], []]
    same_everywhere(system, [1], [], [])


def test_what_a_reader_does_to_an_event_or_a_row_is_in_nothing_else(system: System) -> None:
    receipt = system.execute(Fill("a", nested()), metadata={"by": ["ann"]})
    for recorded in (*system.stream("shelf-a"), *system.tagged("all"), *system.subscribe(0, until=1)):
        spoil(recorded.event)
        spoil(recorded.metadata)
    with system.view(rows, after=receipt) as view:
        spoil(view[rows.tables[0]].get(1))
        assert view[rows.tables[0]].get(1)["metadata"] == {"by": ["ann"]}
    same_everywhere(system, nested())


def test_a_watched_query_is_the_one_that_was_asked(system: System) -> None:
    system.execute(Fill("a", [1]))
    system.wait_applied()
    positions = [1]
    with system.watch(BooksAt(positions), until=2) as watch:
        assert next(iter(watch)) == [[1]]
        positions.append(2)
        system.execute(Fill("a", [2]))
        assert list(watch) == []


def test_an_event_that_is_delivered_again_is_as_it_is_in_the_log(system: System) -> None:
    system.execute(Fill("a", nested()), metadata={"by": ["ann"]})
    with system.consumer("again", start="beginning") as consumer:
        first = next(iter(consumer))
        spoil(first.event)
        spoil(first.recorded.metadata)
        first.nak()
        second = next(iter(consumer))
        assert second.event.books == nested()
        assert second.recorded.metadata == {"by": ["ann"]}
        second.ack()


def test_replicas_that_are_filled_from_the_log_and_rebuilt_ones_have_the_same(system: System) -> None:
    for number in range(3):
        system.execute(Fill("a", [number, nested()]), metadata={"by": [number]})
    before = everywhere(system)
    for model in (spoiling, rows):
        system.rebuild(model, wait=True, timeout=PATIENCE)
    assert everywhere(system) == before == [[[number, nested()] for number in range(3)]] * 7


def test_the_test_kit_shares_nothing_either() -> None:
    books, metadata = [1, nested()], {"by": ["ann"]}
    before = given_events(shelves, happened(Filled("a", books), metadata=metadata))
    spoil(books[0:1])
    books.clear()
    metadata.clear()
    (recorded,) = before.recorded
    assert (recorded.event.books, recorded.metadata) == ([1, nested()], {"by": ["ann"]})
    spoil(recorded.event)
    outcome = before.when(CopyTagged("b"))
    spoil(outcome.events)
    outcome.then(Filled("b", ["spoilt"]))
    for model in MODELS:
        with before.view(model) as view:
            assert [row["books"] for row in view[model.tables[0]].all()] == [[1, nested()]]


# -- what comes back as something else --------------------------------------------------------------
class Zone(timezone.__base__):  # type: ignore[misc,name-defined]
    """A zone of somebody's own."""

    def utcoffset(self, when: datetime | None) -> timedelta:
        return timedelta(hours=1)

    def dst(self, when: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, when: datetime | None) -> str:
        return "own"


zones = st.sampled_from(
    [BERLIN, ZoneInfo("UTC"), UTC, Zone(), timezone(timedelta(hours=1), "CET")]
) | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
folds = st.sampled_from([0, 1])
datetimes = st.builds(
    lambda when, zone, fold: when.replace(tzinfo=zone, fold=fold),
    st.datetimes(datetime(1980, 1, 1), datetime(2037, 1, 1)) | st.just(datetime(2026, 10, 25, 2, 30)),
    st.none() | zones,
    folds,
)
times = st.builds(
    lambda when, zone, fold: when.replace(tzinfo=zone, fold=fold),
    st.times(),
    st.none()
    | st.sampled_from([UTC, Zone(), timezone(timedelta(hours=1), "CET"), timezone(-timedelta(hours=3))]),
    folds,
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.binary(max_size=5)
    | st.decimals(allow_nan=False)
    | datetimes
    | times
    | st.dates()
    | st.timedeltas()
    | st.uuids()
    | st.builds(uuid.uuid1)
)
odd = st.binary(max_size=5).map(bytearray) | st.binary(max_size=5).map(memoryview)
values = st.recursive(
    scalars | odd,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.builds(Label, inner)
        | st.frozensets(scalars, max_size=3)
    ),
    max_leaves=8,
)


def shape(value: Any) -> Any:
    """Everything that tells a value from another one, its types and zones, further in, too."""
    kind = type(value)
    if dataclasses.is_dataclass(value):
        return kind, [shape(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if kind is list or kind is tuple:
        return kind, [shape(one) for one in value]
    if kind is dict:
        return kind, [(shape(key), shape(one)) for key, one in value.items()]
    if kind is frozenset:
        return kind, sorted(map(repr, map(shape, value)))
    if kind is datetime or kind is time:
        return kind, value.isoformat(), value.fold, repr(value.tzinfo), str(value.tzname())
    return kind, repr(value)


@settings(max_examples=25, deadline=None)
@given(st.lists(values, min_size=1, max_size=4), values)
def test_every_value_is_the_same_live_and_read_again_and_rebuilt_and_after_a_restart(
    given_values: list[Any], of_metadata: Any
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        seen: list[Any] = []

        def look(system: System, *more: Any) -> None:
            found = [*more, *everywhere(system)]
            found.append([state_of(system, f"{number}") for number in range(len(given_values))])
            seen.extend(map(shape, found))
            metadata = [shape(recorded.metadata) for recorded in system.subscribe(0, until=system.position)]
            assert metadata == [shape(row["metadata"]) for row in system.dump("replica-1", rows)["rows"]]

        with System.open(path, shelves, replicas=2) as system:
            receipts = [
                system.execute(Fill(f"{number}", value), metadata={"of": of_metadata})
                for number, value in enumerate(given_values)
            ]
            look(system, [receipt.events[0].books for receipt in receipts])
            system.rebuild(rows, wait=True, timeout=PATIENCE)
            look(system)
        with System.open(path, shelves, replicas=2) as system:
            look(system)
        assert seen == [seen[0]] * len(seen)
        codec = Codec()
        codec.register(Label)
        assert seen[0] == shape([codec.decode(codec.encode(value)) for value in given_values])


@pytest.mark.parametrize("workers", ["thread", "process"])
@pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
def test_a_time_zone_gives_the_same_answer_before_and_after_a_restart(
    store_path: Path, restart: bool, workers: Any
) -> None:
    # The clocks go forward on 29 March.
    first, second = (datetime(2026, 3, 28 + day, 12, tzinfo=BERLIN) for day in (0, 1))
    system = System.open(store_path, nights.hotel, replicas=1, workers=workers)
    try:
        system.execute(nights.Book("7", first))
        system.wait_applied()
        live = system.dump("replica-1", nights.stays)["rows"][0]["until"]
        system.rebuild(nights.stays, wait=True, timeout=PATIENCE)
        rebuilt = system.dump("replica-1", nights.stays)["rows"][0]["until"]
        assert str(live) == str(rebuilt) == "2026-03-29 12:00:00+01:00"
        if restart:
            system.close()
            system = System.open(store_path, nights.hotel, replicas=1, workers=workers)
        with pytest.raises(Rejected) as caught:
            system.execute(nights.Book("7", second))
        assert caught.value.code == "room.taken"
    finally:
        system.close()


# -- states -------------------------------------------------------------------------------------------
def test_a_state_that_its_evolver_gives_a_zone_is_as_its_snapshot_gives_it(store_path: Path) -> None:
    zoned = Domain("zoned")

    @zoned.state(stream="day-{name}", snapshot_every=2)
    class Day:
        name: str
        at: datetime
        others: tuple[datetime, ...]

    @zoned.event(Day)
    class Set:
        name: str
        at: datetime

    @zoned.command(Day)
    class SetDay:
        name: str
        at: datetime

    @zoned.command(Day)
    class Ask:
        name: str

    @zoned.decide
    def set_day(day: Day | None, command: SetDay) -> Any:
        yield Set(command.name, command.at)

    @zoned.decide
    def ask(day: Day, command: Ask) -> Any:
        raise Rejected("asked", at=day.at, next=day.at + timedelta(days=1), others=day.others)

    @zoned.evolve
    def was_set(day: Day | None, event: Set) -> Day:
        local = event.at.astimezone(BERLIN)
        return Day(event.name, local, (*(day.others if day else ()), local))

    def asked(system: System) -> Any:
        with pytest.raises(Rejected) as caught:
            system.execute(Ask("a"))
        return shape(caught.value.details)

    with System.open(store_path, zoned, replicas=1) as system:
        for day in (27, 28, 28):
            system.execute(SetDay("a", datetime(2026, 3, day, 11, tzinfo=UTC)))
        live = asked(system)
    with System.open(store_path, zoned, replicas=1) as system:
        assert asked(system) == live
    assert "Berlin" not in repr(live)


def test_a_class_that_does_something_when_it_is_built_is_the_same_everywhere(store_path: Path) -> None:
    counting = Domain("counting")

    @counting.event(state=None)
    class Counted:
        number: int

        def __post_init__(self) -> None:
            object.__setattr__(self, "number", self.number + 1)

    model = counting.read_model("model")
    table = model.table("rows", key="position")

    @model.on(Counted)
    def on_counted(event: Any, tables: Any, recorded: Any) -> None:
        tables[table].put({"position": recorded.position, "number": event.number})

    with System.open(store_path, counting, replicas=1) as system:
        receipt = system.append("a", [Counted(1)])
        system.wait_applied()
        numbers = [receipt.events[0].number, system.stream("a")[0].event.number]
        numbers += [row["number"] for row in system.dump("replica-1", model)["rows"]]
    assert len(set(numbers)) == 1


# -- process managers -----------------------------------------------------------------------------------
def test_a_process_manager_has_what_its_notes_give(store_path: Path) -> None:
    flow = Domain("flow")
    payloads: list[Any] = []
    told: list[Any] = []
    failed: list[int] = []

    @flow.state(stream="job-{job}")
    class Job:
        job: str

    @flow.event(Job)
    class Begun:
        job: str
        steps: list[str]
        at: datetime

    @flow.command(Job)
    class Begin:
        job: str
        steps: list[str]
        at: datetime

    @flow.command(Job)
    class Refuse:
        job: str
        steps: list[str]

    @flow.decide
    def begin(job: None, command: Begin) -> Any:
        yield Begun(command.job, command.steps, command.at)

    @flow.decide
    def refuse(job: Job, command: Refuse) -> Any:
        raise Rejected("no", code="no", steps=command.steps, at=datetime(2026, 3, 28, 12, tzinfo=BERLIN))

    @flow.evolve
    def begun(job: None, event: Begun) -> Job:
        return Job(event.job)

    manager = flow.process_manager("flow", key="job", start="beginning")

    @manager.state
    class Going:
        job: str
        steps: list[str]
        at: datetime

    @manager.timer
    class Later:
        at: datetime
        steps: list[str]

    @manager.on
    def on_begun(state: None, event: Begun, do: Do) -> Going:
        event.steps.append("handled")
        if not failed:
            failed.append(1)
            raise RuntimeError("once")
        do.execute(Refuse(event.job, event.steps))
        do.effect("send", {"steps": event.steps, "at": event.at.astimezone(BERLIN)})
        do.after(timedelta(0), Later(event.at.astimezone(BERLIN), event.steps))
        return Going(event.job, event.steps, event.at.astimezone(BERLIN))

    @manager.on_rejected
    def on_refused(state: Going, refused: Rejection[Refuse], do: Do) -> Going:
        told.append(("rejected", shape(dict(refused.details))))
        return state

    @manager.on_timer
    def on_later(state: Going, timer: Later, do: Do) -> Going:
        told.append(("timer", shape(timer.at), shape(state.at), state.steps[:], timer.steps[:]))
        return state

    @manager.effect("send", attempts=3)
    def send(payload: Any, key: str) -> None:
        payloads.append(shape(payload))
        spoil(payload)
        if len(payloads) == 1:
            raise RuntimeError("once")

    with System.open(store_path, flow, replicas=1) as system:
        system.execute(Begin("a", ["one"], datetime(2026, 3, 28, 11, tzinfo=UTC)))
        wait_until(lambda: len(payloads) == 2 and len(told) == 2)
        state = system.process_manager_state("flow", "a")
    offset = shape(datetime(2026, 3, 28, 12, tzinfo=timezone(timedelta(hours=1))))
    assert state.steps == ["one", "handled"]
    assert shape(state.at) == offset
    assert payloads == [shape({"steps": ["one", "handled"], "at": state.at})] * 2
    assert sorted(told) == [
        ("rejected", shape({"steps": ["one", "handled"], "at": state.at})),
        ("timer", offset, offset, ["one", "handled"], ["one", "handled"]),
    ]
