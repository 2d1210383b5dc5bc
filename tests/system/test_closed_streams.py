"""Closed streams take no events, whoever would write them, until they are opened again. All is recorded."""

from __future__ import annotations

import copy
import errno
import json
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import lmdb
import pytest

from actors import (
    CommandTimeout,
    CommitUncertain,
    Do,
    Domain,
    InvalidKey,
    OpenedForReading,
    Personal,
    Rejected,
    Rejection,
    StreamClosed,
    SubjectForgotten,
    System,
    UnknownStream,
    WrongThread,
)
from actors.__main__ import main
from storage import EventLog
from tests import inside
from tests.faults import put_fault
from tests.helpers import wait_until
from tests.system.currencies import Balance, Noted, Paid, Pay, fill, shop

Name = Annotated[str, Personal(subject="member")]
WHO = {"who": "ann", "why": "the year is over"}


@pytest.fixture
def system(store_path: Path) -> Iterator[System]:
    """Three accounts of two payments each, and a stream of notes."""
    with System.open(store_path, shop, replicas=1) as opened:
        fill(opened, 6)
        yield opened


def refused(call: Any, stream: str) -> StreamClosed:
    with pytest.raises(StreamClosed, match=f"stream '{stream}' was closed on ") as caught:
        call()
    return caught.value


def test_a_closed_stream_refuses_commands_and_facts_and_says_by_whom(system: System) -> None:
    assert system.close_streams("account-a0", **WHO) == ("account-a0",)
    error = refused(lambda: system.execute(Pay("a0", 1, "EUR")), "account-a0")
    assert (error.code, error.details["stream"], error.details["who"]) == (
        "stream_closed",
        "account-a0",
        "ann",
    )
    assert "by ann (the year is over)" in str(error)
    assert "reopen_streams()" in str(error)
    for copied in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(copied), str(copied), copied.details) == (StreamClosed, str(error), error.details)
    refused(lambda: system.append("account-a0", [Paid("a0", 1, "EUR")]), "account-a0")
    refused(lambda: system.execute(Balance("a0")), "account-a0")
    outcomes = system.execute_many([Pay("a0", 1, "EUR"), Pay("a1", 1, "EUR")], return_exceptions=True)
    assert [type(one).__name__ for one in outcomes] == ["StreamClosed", "Receipt"]
    assert len(system.stream("account-a0")) == 2
    assert system.execute(Pay("new", 1, "EUR")).version == 1


def test_it_can_be_opened_again_and_closed_again(system: System) -> None:
    system.close_streams(["account-a0", "account-a1"], **WHO)
    assert system.close_streams(["account-a0", "account-a2"], **WHO) == ("account-a2",)
    assert system.reopen_streams(["account-a0", "notes"], who="bob", why="a mistake") == ("account-a0",)
    assert system.execute(Pay("a0", 1, "EUR")).version == 3
    refused(lambda: system.execute(Pay("a1", 1, "EUR")), "account-a1")
    assert system.close_streams("account-a0", **WHO) == ("account-a0",)
    refused(lambda: system.execute(Pay("a0", 1, "EUR")), "account-a0")
    assert system.reopen_streams(["account-a0", "account-a1", "account-a2"], **WHO) == (
        "account-a0",
        "account-a1",
        "account-a2",
    )
    assert system.closed_streams() == []
    assert system.execute(Pay("a2", 1, "EUR")).version == 3


def test_what_is_closed_is_listed_in_pages_and_recorded_in_the_log(system: System) -> None:
    system.close_streams(["notes", "account-a1", "account-a0"], **WHO)
    listed = system.closed_streams()
    assert [one.stream for one in listed] == ["account-a0", "account-a1", "notes"]
    assert {(one.who, one.why) for one in listed} == {("ann", "the year is over")}
    assert [one.stream for one in system.closed_streams("account-")] == ["account-a0", "account-a1"]
    assert [one.stream for one in system.closed_streams("account-", 1, "account-a0")] == ["account-a1"]
    system.reopen_streams("notes", who="bob", why="more to say")
    closed, opened = system.corrections()
    assert (closed.who, closed.count) == ("ann", 0)
    assert closed.why == "the year is over; closed: notes, account-a1, account-a0"
    assert (opened.who, opened.why) == ("bob", "more to say; opened again: notes")
    assert abs((listed[0].time - closed.time).total_seconds()) < 1e-3
    assert system.verify_log().findings == []


def test_many_streams_are_closed_in_operations_of_a_thousand(system: System) -> None:
    names = [f"account-many{number:04}" for number in range(1_200)]
    system.execute_many([Pay(one.partition("-")[2], 1, "EUR") for one in names])
    assert system.close_streams(names, **WHO) == tuple(names)
    assert [one.why.rpartition(" and ")[2] for one in system.corrections()] == ["990 more", "190 more"]
    refused(lambda: system.execute(Pay("many1199", 1, "EUR")), "account-many1199")
    assert len(system.closed_streams(limit=2_000)) == 1_200


def test_a_command_that_was_executed_before_gives_its_receipt_again(system: System) -> None:
    receipt = system.execute(Pay("a0", 5, "EUR"), command_id="once")
    system.close_streams("account-a0", **WHO)
    assert system.execute(Pay("a0", 5, "EUR"), command_id="once") == receipt


def test_it_stays_closed_after_another_opening_and_after_the_writer_was_restarted(store_path: Path) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        fill(system, 3)
        system.close_streams("account-a0", **WHO)
        system.kill("command-handler")
        refused(lambda: system.execute(Pay("a0", 1, "EUR")), "account-a0")
    with System.open(store_path, shop, replicas=1) as system:
        refused(lambda: system.execute(Pay("a0", 1, "EUR")), "account-a0")
        assert system.execute(Pay("a1", 1, "EUR")).version == 2
    with System.open(store_path, shop, replicas=1, mode="read") as reader:
        assert [one.stream for one in reader.closed_streams()] == ["account-a0"]
        with pytest.raises(OpenedForReading):
            reader.close_streams("account-a1", **WHO)


def test_what_does_not_fit_changes_nothing(system: System) -> None:
    with pytest.raises(UnknownStream, match=r"close_streams\(\) did nothing: there is no stream 'acount-a0'"):
        system.close_streams(["account-a0", "acount-a0"], **WHO)
    with pytest.raises(UnknownStream):
        system.reopen_streams("nobody", **WHO)
    for who, why in (("", "x"), ("x", "  ")):
        with pytest.raises(ValueError, match="is a text that is not empty"):
            system.close_streams("notes", who=who, why=why)
    for wrong in (["notes", 5], 5):
        with pytest.raises(TypeError, match=r"close_streams\(\) takes the names of streams, not 5"):
            system.close_streams(wrong, **WHO)  # type: ignore[arg-type]
    with pytest.raises(InvalidKey):
        system.close_streams("", **WHO)
    with pytest.raises(ValueError, match="timeout="):
        system.close_streams("notes", **WHO, timeout=-1)
    with pytest.raises(ValueError, match="limit="):
        system.closed_streams(limit=-1)
    assert system.closed_streams() == []
    assert system.corrections() == []


def test_it_is_refused_in_an_actors_own_thread(system: System) -> None:
    errors: list[Exception] = []

    def close(_first: int, _last: int) -> None:
        try:
            system.close_streams("notes", **WHO)
        except Exception as error:
            errors.append(error)

    system.on_committed(close)
    system.append("notes", [Noted("more")])
    wait_until(lambda: errors)
    assert isinstance(errors[0], WrongThread)


def io_error() -> lmdb.Error:
    """What LMDB raises where the disk fails."""
    error = lmdb.Error("mdb_txn_commit")
    error.code = errno.EIO  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_commit_that_failed_leaves_streams_open_or_closed_as_the_log_says(
    system: System, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    raised = put_fault(monkeypatch, EventLog, "_commit", io_error, after=after)
    with pytest.raises(CommitUncertain, match=r"whether the streams were closed .*closed_streams\(\) says"):
        system.close_streams("account-a0", **WHO)
    assert raised() == 1
    assert [one.stream for one in system.closed_streams()] == ["account-a0"] * after
    if after:
        refused(lambda: system.execute(Pay("a0", 1, "EUR")), "account-a0")
    else:
        assert system.execute(Pay("a0", 1, "EUR")).version == 3
    assert len(system.close_streams("account-a0", **WHO)) == (not after)
    refused(lambda: system.execute(Pay("a0", 1, "EUR")), "account-a0")


def test_a_writer_that_is_busy_closes_nothing_after_the_time(system: System) -> None:
    busy, go_on = threading.Event(), threading.Event()

    def hold(_first: int, _last: int) -> None:
        busy.set()
        go_on.wait(20)

    system.on_committed(hold)
    future = system.submit(Pay("a0", 1, "EUR"))
    assert busy.wait(20)
    with pytest.raises(CommandTimeout, match="before the streams were closed; nothing was written"):
        system.close_streams("account-a0", **WHO, timeout=0.05)
    go_on.set()
    assert future.result(20).version == 3
    assert system.execute(Pay("a0", 1, "EUR")).version == 4
    assert system.closed_streams() == []


def test_a_store_without_closed_streams_looks_at_no_notes_for_a_command(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.execute(Pay("a0", 1, "EUR"))
    log, looked = inside.log(system), list[bytes]()
    note = log.note
    monkeypatch.setattr(log, "note", lambda key: looked.append(key) or note(key))
    system.execute_many([Pay(f"a{number % 3}", 1, "EUR") for number in range(50)])
    assert looked == []
    system.close_streams("account-a2", **WHO)
    looked.clear()
    system.execute_many([Pay(f"a{number % 2}", 1, "EUR") for number in range(50)])
    assert sorted(looked) == [b"closed/account-a0", b"closed/account-a1"]


# -- events in other streams, and other ways to write --------------------------------------------------------
def moving() -> Any:
    """Commands that write in two streams, and a process manager that sends one for each event of its kind."""
    domain = Domain("moving")

    @domain.state(stream="box-{box}")
    class Box:
        box: str
        things: int

    @domain.event(Box)
    class Put:
        box: str

    @domain.command(Box)
    class Move:
        box: str
        to: str

    @domain.event(stream="wishes", state=None)
    class Wished:
        box: str

    @domain.decide(Move, state=Box | None)
    def move(_state: Any, command: Any) -> Any:
        yield Put(command.box)
        yield Put(command.to)

    @domain.evolve(Put, state=Box | None)
    def put(state: Any, event: Any) -> Any:
        return Box(event.box, 1 if state is None else state.things + 1)

    manager = domain.process_manager("granting", key="box", start="beginning")

    @manager.state
    class Granting:
        box: str
        refused: str = ""

    @manager.on(Wished)
    def wished(_state: Any, event: Any, do: Do) -> Any:
        do.execute(Move(event.box, f"{event.box}2"))
        return Granting(event.box)

    @manager.on_rejected(Move)
    def rejected(state: Any, rejection: Rejection[Any], _do: Do) -> Any:
        return Granting(state.box, rejection.code)

    vars(domain).update(Move=Move, Put=Put, Wished=Wished)
    return domain


def test_a_command_that_would_write_in_a_closed_stream_beside_its_own_leaves_nothing(
    store_path: Path,
) -> None:
    domain = moving()
    with System.open(store_path, domain, replicas=1) as system:
        system.execute(domain.Move("a", "b"))
        system.close_streams("box-b", **WHO)
        refused(lambda: system.execute(domain.Move("a", "b")), "box-b")
        assert system.execute(domain.Move("a", "c")).versions == {"box-a": 2, "box-c": 1}


def test_a_process_managers_command_to_a_closed_stream_is_a_rejection(store_path: Path) -> None:
    domain = moving()
    with System.open(store_path, domain, replicas=1) as system:
        system.execute(domain.Move("a", "a2"))
        system.close_streams("box-a2", **WHO)
        system.append("wishes", [domain.Wished("a")])
        system.wait_process_managers()
        assert system.process_manager_state("granting", "a").refused == "stream_closed"
        assert len(system.stream("box-a")) == 1
        assert issubclass(StreamClosed, Rejected)


def test_a_stream_in_which_forget_writes_is_not_closed(store_path: Path, tmp_path: Path) -> None:
    domain = Domain("members")

    @domain.event(state=None, stream="member-{member}")
    class Joined:
        member: str
        name: Name

    key = tmp_path / "master.key"
    assert run("keys", "new", key) == 0
    with System.open(store_path, domain, replicas=1, master_key=key) as system:
        system.append("member-m1", [Joined("m1", "Ann")])
        system.close_streams("member-m1", **WHO)
        system.forget("m1")
        assert system.stream("forgotten-m1")[0].event == SubjectForgotten("m1")
        with pytest.raises(ValueError, match="the library's own, in which forget"):
            system.close_streams("forgotten-m1", **WHO)
        system.forget("m1")


# -- the command line ----------------------------------------------------------------------------------------
def run(*arguments: object) -> int:
    return main([*map(str, arguments)])


def test_streams_are_closed_listed_and_opened_again_by_commands(
    store_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        fill(system, 3)
    (tmp_path / "names").write_text("account-a1\n\naccount-a2\n")
    who = ["--who", "ann", "--why", "done"]
    assert run("close", store_path, "account-a0", *who) == 0
    assert run("close", store_path, "account-a0", "--from", tmp_path / "names", *who) == 0
    assert run("closed", store_path, "account-a1") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["1 streams closed", "2 streams closed; 1 already before"]
    assert out[2].startswith("account-a1  2")
    assert out[2].endswith(" UTC  ann: done")
    assert run("reopen", store_path, "account-a1", *who, "--json") == 0
    assert run("closed", store_path, "--json", "--limit", "1") == 0
    opened, closed = map(json.loads, capsys.readouterr().out.splitlines())
    assert opened == {"opened_again": ["account-a1"], "already": 0}
    assert closed["closed"]["stream"] == "account-a0"
    assert run("corrections", store_path) == 0
    assert "ann: done; closed: account-a0\n" in capsys.readouterr().out
    with System.open(store_path, shop, replicas=1) as system:
        assert system.health().status == "ok"
        refused(lambda: system.execute(Pay("a0", 1, "EUR")), "account-a0")
        assert run("close", store_path, "account-a1", *who) == 1
        assert "StoreLocked" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["close", "STORE", "account-a0"], "give --who and --why"),
        (["close", "STORE", "--who", "a", "--why", "b"], "give a stream, or --from FILE"),
        (
            ["reopen", "STORE", "nobody", "--who", "a", "--why", "b"],
            "there is no stream 'nobody', so nothing was changed; `python -m actors repl ",
        ),
        (["close", "STORE", "--from", "/nowhere", "--who", "a", "--why", "b"], "/nowhere can't be read"),
        (["close", "nothing", "x", "--who", "a", "--why", "b"], "nothing is not a store"),
        (["closed", "nothing"], "nothing; check the path\n"),
    ],
)
def test_a_wrong_call_is_refused_in_one_line(
    store_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], error: str
) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        fill(system, 1)
    assert run(*[store_path if one == "STORE" else one for one in arguments]) == 2
    told = capsys.readouterr().err
    assert error in told
    assert told.count("\n") == 1
