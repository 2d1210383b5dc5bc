"""Inline models through a running system: rules over many streams, failures, filling, and reading them.

Every test of the write side ends with the tables compared with the log.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lmdb
import pytest

from actors import (
    CommitUncertain,
    DeciderFailed,
    Domain,
    ModelStopped,
    Reader,
    Receipt,
    Rejected,
    StorageError,
    System,
    SystemClosed,
    ViewExpired,
)
from actors.replication.skipped_events import skip_note
from actors.writer.command_handler import CommandHandler
from actors.writer.inline_models import FILL_BATCH
from storage import EventLog
from tests import inside
from tests.faults import put_fault
from tests.helpers import PATIENCE, Threads
from tests.system.batches import held_batch
from tests.system.club import (
    SEATS,
    Break,
    HolderOf,
    HoldersAndEntries,
    Join,
    Joined,
    Leave,
    ReadWrongly,
    Rename,
    Seated,
    Sit,
    Wait,
    club,
    hang,
    log_book,
    names,
    register,
    visits,
)
from tests.system.held import Held
from tests.system.inline_checks import check_inline

Patch = pytest.MonkeyPatch


@pytest.fixture
def system(store_path: Path) -> Iterator[System]:
    with System.open(store_path, club, replicas=1) as opened:
        yield opened
        if inside.usable(opened):
            check_inline(inside.log(opened))


def code_of(error: BaseException | None) -> str:
    assert isinstance(error, Rejected), error
    return error.code


def rows(system: System, table: Any = names) -> list[dict[str, Any]]:
    model = next(model for model in club.declarations.read_models if table in model.tables)
    with system.view(model) as view:
        return list(view[table].all())


# -- rules over many streams ----------------------------------------------------------------
def test_a_name_is_given_once_however_many_callers_ask_for_it_at_once(system: System) -> None:
    outcomes: list[tuple[str, str]] = []

    def ask(caller: int) -> None:
        for number in range(20):
            try:
                system.execute(Join(f"c{caller}-{number}", f"name-{number}"))
                outcomes.append((f"name-{number}", "done"))
            except Rejected as error:
                outcomes.append((f"name-{number}", error.code))

    with Threads() as threads:
        for caller in range(6):
            threads.start(ask, caller)
    assert sorted(set(outcomes)) == sorted(
        (f"name-{number}", what) for number in range(20) for what in ("done", "name.taken")
    )
    assert sum(what == "done" for _, what in outcomes) == 20


def test_a_command_sees_what_the_ones_before_it_in_the_batch_did_and_not_what_was_refused(
    system: System,
) -> None:
    system.execute(Join("1", "ann"))
    with held_batch(system):
        futures = [
            system.submit(command)
            for command in (
                Join("2", "ann"),
                Rename("1", "bob"),
                Join("2", "ann"),
                Join("3", "bob"),
                Leave("1"),
                Join("3", "bob"),
            )
        ]
    found = [future.exception(PATIENCE) for future in futures]
    assert [one and code_of(one) for one in found] == ["name.taken", None, None, "name.taken", None, None]
    assert [(row["name"], row["id"]) for row in rows(system)] == [("ann", "2"), ("bob", "3")]


def test_a_projection_that_rejects_rejects_the_command_and_leaves_no_trace_of_it(system: System) -> None:
    outcomes = system.execute_many(
        [Sit(f"{number}", "bar") for number in range(SEATS + 2)], return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [Receipt] * SEATS + [Rejected] * 2
    assert code_of(outcomes[-1]) == "room.full"
    assert outcomes[-1].details == {"room": "bar"}
    system.execute(Sit("5", "hall"))
    assert [row["count"] for row in rows(system, visits)] == [1] * (SEATS + 1)


def test_facts_from_outside_are_in_the_tables_too_and_can_be_refused_by_them(system: System) -> None:
    system.append("member-1", [Joined("1", "ann"), Seated("1", "bar")])
    for number in range(2, SEATS + 1):
        system.append(f"member-{number}", [Seated(f"{number}", "bar")])
    with pytest.raises(Rejected, match="bar is full"):
        system.append("member-x", [Seated("x", "hall"), Seated("x", "bar")])
    assert [row["id"] for row in rows(system, visits)] == [f"{number}" for number in range(1, SEATS + 1)]


# -- projections that fail ------------------------------------------------------------------
@pytest.mark.parametrize(
    ("how", "cause", "text"),
    [
        ("raise", LookupError, "LookupError: no such room"),
        ("exit", SystemExit, "SystemExit"),
        ("row", StorageError, r"rooms\.visits, row 'p'"),
        ("key", StorageError, "the key takes"),
        ("table", StorageError, "has no table"),
    ],
)
def test_a_projection_that_fails_fails_one_command_and_names_model_and_event(
    system: System, how: str, cause: type[BaseException], text: str
) -> None:
    with held_batch(system):
        before = system.submit(Sit("p", "bar"))
        broken = system.submit(Break("p", how))
        after = system.submit(Sit("p", "hall"))
    error = broken.exception(PATIENCE)
    assert type(error) is DeciderFailed
    assert isinstance(error.__cause__, cause)
    with pytest.raises(
        DeciderFailed, match=f"inline model 'rooms' failed on event Broken of stream 'member-p' with .*{text}"
    ):
        raise error
    assert [before.result().version, after.result().version] == [1, 2]
    assert rows(system, visits) == [{"id": "p", "count": 2}]


@pytest.mark.parametrize(("what", "text"), [("other", "TableSchema"), ("text", "'names'")])
def test_reading_what_is_no_inline_table_fails_the_command_and_says_why(
    system: System, what: str, text: str
) -> None:
    with pytest.raises(DeciderFailed, match=rf"{text}.*not a table of an inline model.*inline=True"):
        system.execute(ReadWrongly("1", what))


def test_a_domain_without_inline_models_says_so(store_path: Path) -> None:
    plain = Domain("plain")

    @plain.state(stream="s-{id}")
    class Thing:
        id: str

    @plain.command(Thing)
    class Look:
        id: str

    @plain.decide(Look)
    def look(thing: Thing | None, command: Look, read: Reader) -> None:
        read[names].get("x")

    with System.open(store_path, plain, replicas=1) as system:
        with pytest.raises(DeciderFailed):
            system.execute(Look("1"))
        assert inside.log(system).inline_batch() is None


# -- steps ----------------------------------------------------------------------------------
def test_a_step_whose_notes_fail_leaves_nothing_in_the_tables(system: System) -> None:
    steps = inside.command_client(system).steps

    def fail(_outcomes: Any) -> Any:
        raise ZeroDivisionError

    with held_batch(system):
        first = system.submit(Join("1", "ann"))
        failing = steps.submit(
            [steps.submission(one) for one in (Rename("1", "bob"), Join("2", "ann"), Sit("1", "bar"))], fail
        )
        done = steps.submit(
            [steps.submission(one) for one in (Join("2", "bob"), Join("3", "bob"), Break("1", "raise"))],
            lambda outcomes: [(b"k", type(outcomes[1]).__name__.encode())],
        )
    assert type(failing.exception(PATIENCE)) is ZeroDivisionError
    assert [type(one) for one in done.result(PATIENCE)] == [Receipt, Rejected, DeciderFailed]
    assert first.result().version == 1
    assert inside.note(system, b"k") == b"Rejected"
    assert [(row["name"], row["id"]) for row in rows(system)] == [("ann", "1"), ("bob", "2")]


# -- faults ---------------------------------------------------------------------------------
def disk_error() -> lmdb.Error:
    error = lmdb.Error("mdb_txn_commit")
    error.code = errno.EIO
    return error


def names_batch(system: System) -> dict[str, Any]:
    with held_batch(system):
        return {
            name: system.submit(command, command_id=name)
            for name, command in (
                ("one", Join("1", "ann")),
                ("two", Join("2", "ann")),
                ("three", Rename("1", "bob")),
                ("four", Join("2", "ann")),
            )
        }


def check_names_done_once(system: System) -> None:
    """The batch again, by its ids, changes nothing; the refused one is refused for the reason that is there
    now.
    """
    for name, command in (
        ("one", Join("1", "ann")),
        ("three", Rename("1", "bob")),
        ("four", Join("2", "ann")),
    ):
        system.execute(command, command_id=name)
    assert code_of_again(system) == "member.exists"
    assert [(row["name"], row["id"]) for row in rows(system)] == [("ann", "2"), ("bob", "1")]
    assert system.position == 3


def code_of_again(system: System) -> str:
    with pytest.raises(Rejected) as caught:
        system.execute(Join("2", "ann"), command_id="two")
    return caught.value.code


def test_a_batch_that_is_aborted_is_decided_again_on_the_tables_as_they_are(
    system: System, monkeypatch: Patch
) -> None:
    put_fault(monkeypatch, EventLog, "_write", lambda: lmdb.BadValsizeError("put"), after=True)
    futures = names_batch(system)
    assert [type(future.exception(PATIENCE)) for future in futures.values()] == [
        type(None),
        Rejected,
        type(None),
        type(None),
    ]
    check_names_done_once(system)


@pytest.mark.parametrize("after", [False, True], ids=["before it was on disk", "after it was on disk"])
def test_after_a_commit_that_failed_tables_and_log_agree(
    system: System, monkeypatch: Patch, after: bool
) -> None:
    put_fault(monkeypatch, EventLog, "_commit", disk_error, after=after)
    futures = names_batch(system)
    assert {type(future.exception(PATIENCE)) for future in futures.values()} == {CommitUncertain}
    check_inline(inside.log(system))
    assert len(rows(system)) == (2 if after else 0)
    check_names_done_once(system)


@pytest.mark.parametrize("after", [False, True], ids=["before it was on disk", "after it was on disk"])
def test_the_tables_of_a_writer_that_dies_are_written_once(
    system: System, monkeypatch: Patch, after: bool
) -> None:
    put_fault(monkeypatch, CommandHandler, "_commit", after=after)
    futures = names_batch(system)
    for name in ("one", "three", "four"):
        assert isinstance(futures[name].result(PATIENCE), Receipt)
    assert isinstance(futures["two"].exception(PATIENCE), Rejected)
    check_names_done_once(system)


def test_a_full_map_refuses_commands_and_leaves_the_tables_as_they_were(store_path: Path) -> None:
    with System.open(store_path, club, replicas=1, map_size=1 << 20) as system:
        outcomes: list[Any] = []
        while not outcomes or all(isinstance(one, Receipt) for one in outcomes):
            start = len(outcomes)
            outcomes += system.execute_many(
                [Join(f"{number}", f"{number:0200}") for number in range(start, start + 200)],
                return_exceptions=True,
            )
        assert rows(system)
        check_inline(inside.log(system))


def test_closing_while_a_decider_hangs_that_reads_a_table_lets_the_store_be_opened_again(
    store_path: Path,
) -> None:
    hang.__init__()  # type: ignore[misc]
    system = System.open(store_path, club, replicas=1)
    system.execute(Join("1", "ann"))
    hanging = system.submit(Wait("w"))
    assert hang.entered.wait(PATIENCE)
    system.close(timeout=0.5)
    assert isinstance(hanging.exception(PATIENCE), SystemClosed)
    with System.open(store_path, club, replicas=1) as again:
        again.execute(Join("2", "bob"))
        hang.release.set()
        again.execute(Join("3", "cy"))
        assert len(rows(again)) == 3
        check_inline(inside.log(again))


# -- filling --------------------------------------------------------------------------------
def versioned(version: int | None, project: Callable[..., None] | None = None, inline: bool = True) -> Any:
    """A domain of one event with a model of this version, or without one; and the model's table."""
    domain = Domain("club")

    @domain.event(state=None)
    class Counted:
        number: int

    if version is None:
        return domain, None, Counted
    model = domain.read_model("numbers", version, inline=inline)
    table = model.table("numbers", key="position")

    def on_counted(event: Counted, tables: Any, recorded: Any) -> None:
        if project is not None:
            project(event, recorded)
        tables[table].put({"position": recorded.position, "number": event.number * version})

    model.on(Counted)(on_counted)
    return domain, table, Counted


def append_numbers(path: Path, declared: Any, first: int, count: int) -> None:
    domain, _, event = declared
    with System.open(path, domain, replicas=1) as system:
        for start in range(first, first + count, 500):
            numbers = range(start, min(start + 500, first + count))
            system.append("numbers", [event(number) for number in numbers])


def numbers_of(path: Path, declared: Any, accept: Sequence[str] = ()) -> list[int]:
    domain, table, _ = declared
    with (
        System.open(path, domain, replicas=1, accept=accept) as system,
        system.view(*domain.declarations.read_models) as view,
    ):
        assert view.position() == system.position
        return [row["number"] for row in view[table].all()]


def test_a_model_is_filled_when_the_store_is_opened_before_anything_reads_it(
    store_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    count = FILL_BATCH + 100
    append_numbers(store_path, versioned(None), 1, count)
    with caplog.at_level(logging.INFO, "onewriter.inline"):
        assert numbers_of(store_path, versioned(1)) == list(range(1, count + 1))
    assert f"filling inline models numbers from position 1 to {count}" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, "onewriter.inline"):
        assert len(numbers_of(store_path, versioned(1))) == count
    assert not caplog.records


def test_a_new_version_of_a_model_is_filled_anew(store_path: Path) -> None:
    append_numbers(store_path, versioned(1), 1, 3)
    assert numbers_of(store_path, versioned(2)) == [2, 4, 6]


def test_a_model_that_was_not_inline_for_a_while_catches_up(store_path: Path) -> None:
    append_numbers(store_path, versioned(1), 1, 3)
    append_numbers(store_path, versioned(1, inline=False), 4, 2)
    assert numbers_of(store_path, versioned(1)) == [1, 2, 3, 4, 5]


def test_a_model_that_fails_while_it_is_filled_says_where_and_the_store_opens_with_it_mended(
    store_path: Path,
) -> None:
    append_numbers(store_path, versioned(None), 1, 5)

    def fail(event: Any, _recorded: Any) -> None:
        if event.number == 4:
            raise Rejected("four", code="no.four")

    with pytest.raises(
        ModelStopped,
        match=r"'numbers' could not be filled: .* event Counted at position 4 with Rejected: four",
    ):
        System.open(store_path, versioned(1, fail)[0], replicas=1)
    assert numbers_of(store_path, versioned(1)) == [1, 2, 3, 4, 5]


def test_an_event_that_an_operator_had_skipped_is_passed_over_when_a_model_is_filled(
    store_path: Path,
) -> None:
    append_numbers(store_path, versioned(None), 1, 5)
    with EventLog.open(store_path, versioned(None)[0].compile().codec, siblings=["replicas"]) as log:
        log.append([], notes=[skip_note("numbers", 4, "no four")])

    def fail(event: Any, _recorded: Any) -> None:
        assert event.number != 4

    assert numbers_of(store_path, versioned(1, fail)) == [1, 2, 3, 5]


def test_an_event_that_can_not_be_decoded_does_not_stop_the_filling_of_a_model_that_does_not_want_it(
    store_path: Path,
) -> None:
    domain, _, event = versioned(1)

    @domain.event(state=None)
    class Gone:
        pass

    with System.open(store_path, domain, replicas=1) as system:
        system.append("numbers", [event(1), Gone(), event(3), Gone()])
    assert numbers_of(store_path, versioned(2), accept=["Gone"]) == [2, 6]


def test_an_event_that_can_not_be_decoded_stops_the_filling_of_a_model_that_wants_it_unless_it_is_skipped(
    store_path: Path,
) -> None:
    earlier = Domain("club")

    @earlier.event(state=None, name="Counted")
    class Earlier:
        another: int

    append_numbers(store_path, versioned(1), 1, 1)
    with System.open(store_path, earlier, replicas=1, accept=["Counted"]) as system:
        system.append("numbers", [Earlier(2)])
    domain, _, event = versioned(None)
    with System.open(store_path, domain, replicas=1, accept=["Counted"]) as system:
        system.append("numbers", [event(3)])
    with pytest.raises(ModelStopped, match=r"at position 2 can't be decoded.*write an upcaster"):
        System.open(store_path, versioned(2)[0], replicas=1)
    with EventLog.open(store_path, earlier.compile().codec, siblings=["replicas"]) as log:
        log.append([], notes=[skip_note("numbers", 2, "gone")])
    assert numbers_of(store_path, versioned(2)) == [2, 6]


# -- reading --------------------------------------------------------------------------------
def test_queries_of_inline_models_alone_are_up_to_date_while_every_replica_stands_still(
    system: System, monkeypatch: Patch
) -> None:
    held = Held(monkeypatch)
    held.hold("replica-1")
    receipt = system.execute(Join("1", "ann"))
    try:
        for level in ({}, {"consistency": "strong"}, {"after": receipt}, {"max_lag": 0}):
            assert system.query(HolderOf("ann"), timeout=5, **level) == "1"
        assert system.query_many([HolderOf("ann"), HolderOf("bob")]) == ["1", None]
        with system.view(register, consistency="strong") as view:
            assert view.position(register) == 1
            assert (view.version(register), view[names].get("ann")["id"]) == (1, "1")
        assert system.query(HoldersAndEntries()) == (0, 0)
    finally:
        held.release()
    assert system.query(HoldersAndEntries(), consistency="strong") == (1, 1)


def test_a_position_yet_to_come_is_waited_for(system: System) -> None:
    system.execute(Join("1", "ann"))
    with Threads() as threads:
        found: list[Any] = []
        threads.start(lambda: found.append(system.query(HolderOf("bob"), after=2, timeout=PATIENCE)))
        system.execute(Join("2", "bob"))
    assert found == ["2"]


def test_a_view_of_inline_tables_stays_as_it_is_and_ends_with_the_system(store_path: Path) -> None:
    with System.open(store_path, club, replicas=1) as system:
        system.execute(Join("1", "ann"))
        view = system.view(register)
        system.execute(Leave("1"))
        assert len(view[names]) == 1
        assert not rows(system)
        other = system.view(register)
        other.close()
        with pytest.raises(ViewExpired):
            other[names].get("ann")
    with pytest.raises(ViewExpired):
        view[names].get("ann")


def test_a_query_goes_on_while_the_log_is_opened_again_after_a_fault(
    system: System, monkeypatch: Patch
) -> None:
    system.execute(Join("1", "ann"))
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            assert system.query(HolderOf("ann"), timeout=PATIENCE) == "1"

    with Threads() as threads:
        for _ in range(3):
            threads.start(ask)
        try:
            for number in range(10):
                put_fault(monkeypatch, EventLog, "_commit", disk_error)
                with pytest.raises(CommitUncertain):
                    system.execute(Join(f"x{number}", f"x{number}"))
        finally:
            stop.set()


def test_replicas_keep_a_copy_of_inline_models(system: System) -> None:
    system.execute(Join("1", "ann"))
    system.wait_applied()
    assert [row["name"] for row in system.dump("replica-1", register)["names"]] == ["ann"]
    with system.view(register, log_book) as view:
        assert (len(view[names]), view.position()) == (1, 1)
