"""Bad messages and bad code of the domain: each has its own error, and the system goes on serving."""

from __future__ import annotations

import threading
import time

import pytest

from actors import (
    CommandIdReused,
    CommandTimeout,
    ConcurrencyConflict,
    ConsistencyTimeout,
    DeadlineExceeded,
    DeciderFailed,
    InvalidMessage,
    MessageTooLarge,
    Overloaded,
    QueryFailed,
    QueryTimeout,
    SystemClosed,
    UnknownMessage,
    ViewExpired,
)
from actors.testing import open_system
from storage import EventLog, InvalidKey, KeyTooLong, UnencodableValue
from tests import inside
from tests.bank_domain import Open, Richest, balances
from tests.helpers import PATIENCE, Threads, case_id, wait_until
from tests.system.trouble import (
    MISDEEDS,
    Add,
    Added,
    Misask,
    Misbehave,
    NoEvent,
    SizeOf,
    Store,
    Touched,
    sizes,
    still_serves,
    things,
    trouble,
)


@pytest.fixture(scope="module")
def shared():
    with open_system(trouble, replicas=2) as system:
        yield system


@pytest.fixture
def system(shared):
    """A system that has to serve, with nothing written, after the test's misuse."""
    before = shared.position
    yield shared
    assert shared.position == before
    still_serves(shared)
    assert shared.health().status == "ok", shared.health().problems


# -- messages ---------------------------------------------------------------------------------
@pytest.mark.parametrize("message", [Open("ann"), SizeOf("a"), NoEvent("a"), Added("a", 1), None, "Add"])
def test_an_unknown_command_is_refused(system, message):
    with pytest.raises(UnknownMessage, match="is not a command of domain 'trouble'; it knows: Add"):
        system.execute(message)
    with pytest.raises(UnknownMessage):
        system.submit(message)
    outcomes = system.execute_many([message, message], return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [UnknownMessage, UnknownMessage]


@pytest.mark.parametrize("message", [Richest(), Add("a"), None])
def test_an_unknown_query_is_refused(system, message):
    with pytest.raises(UnknownMessage, match="is not a query of domain 'trouble'; it knows: Misask"):
        system.query(message)


def test_a_foreign_event_is_not_appended(system):
    with pytest.raises(UnknownMessage, match="Add is not an event of domain 'trouble'"):
        system.append("thing-a", [Add("a")])
    with pytest.raises(InvalidMessage, match="it can't be appended to 'thing-b'"):
        system.append("thing-b", [Added("a", 1)])
    with pytest.raises(InvalidMessage, match="no events"):
        system.append("thing-a", [])


def test_a_view_of_a_foreign_model_is_refused(system):
    with pytest.raises(UnknownMessage, match="is not a read model of domain 'trouble'"):
        system.view(balances)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (Add("a", "big"), r"Add\.size must be int, got str 'big'"),
        (Add("a", True), r"Add\.size must be int, got bool True"),
        (Add("a", None), r"Add\.size must be int, got None"),
        (Add(7), r"Add\.id must be str, got int 7"),
        (Store("a", "text"), r"Store\.blob must be bytes, got str 'text'"),
    ],
)
def test_wrong_field_types_name_message_and_field(system, command, text):
    with pytest.raises(InvalidMessage, match=text):
        system.execute(command)


def test_wrong_types_in_a_query_and_in_a_fact_are_refused(system):
    with pytest.raises(InvalidMessage, match=r"SizeOf\.id must be str"):
        system.query(SizeOf(3))
    with pytest.raises(InvalidMessage, match=r"Added\.size must be int"):
        system.append("thing-a", [Added("a", 1.5)])


@pytest.mark.parametrize(
    ("id", "error"), [("x" * 500, KeyTooLong), ("a\0b", InvalidKey), ("\ud800", UnencodableValue)]
)
def test_a_stream_name_that_can_not_be_a_key_is_refused(system, id, error):
    with pytest.raises(error):
        system.execute(Add(id))


def test_a_message_of_64_mib_is_refused_with_its_size(system):
    blob = bytes(64 << 20)
    with pytest.raises(MessageTooLarge, match="67,108,893 bytes encoded"):
        system.execute(Store("a", blob))
    with pytest.raises(MessageTooLarge, match=r"appended to stream 'thing-a' takes 67,108,\d+ bytes encoded"):
        system.append("thing-a", [Touched("x" * (64 << 20))])
    with pytest.raises(MessageTooLarge, match="appended to stream 'thing-b'"):
        system.append("thing-b", [Touched("x" * (6 << 20)) for _ in range(3)])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"expected_version": 5}, ConcurrencyConflict),
        ({"deadline": -1.0}, DeadlineExceeded),
        ({"command_id": ""}, InvalidMessage),
        ({"command_id": "x" * 401}, InvalidMessage),
        ({"command_id": 7}, InvalidMessage),
        ({"on_conflict": "retry"}, ValueError),
        ({"metadata": {"user": object()}}, Exception),
        ({"colour": "red"}, TypeError),
    ],
    ids=case_id,
)
def test_bad_options_of_a_command_are_refused(system, options, error):
    with pytest.raises(error):
        system.execute(Add("options"), **options)


def test_a_command_id_is_for_one_payload():
    with open_system(trouble) as system:
        first = system.execute(Add("a", 1), command_id="once")
        with pytest.raises(CommandIdReused, match="'once'"):
            system.execute(Add("a", 2), command_id="once")
        assert system.execute(Add("a", 1), command_id="once") == first
        assert system.position == 1
        still_serves(system)


@pytest.mark.parametrize(
    "options",
    [{"consistency": "exact"}, {"after": -1}, {"after": "now"}, {"max_lag": -1}, {"max_lag": "1s"}],
    ids=str,
)
def test_bad_options_of_a_query_are_refused(system, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        system.query(SizeOf("a"), **options)


# -- deciders and evolvers --------------------------------------------------------------------
@pytest.mark.parametrize("how", [how for how in MISDEEDS if how != "hangs"])
def test_a_bad_decider_fails_its_command_alone(system, how):
    with pytest.raises((DeciderFailed, InvalidMessage)) as caught:
        system.execute(Misbehave("bad", how))
    assert any(name in str(caught.value) for name in ("Misbehave", "Added.size", "evolver broken"))
    assert system.stream("thing-bad") == []


def test_a_bad_decider_does_not_disturb_its_neighbours():
    with open_system(trouble) as system:
        commands = [
            Add("a", 1),
            Misbehave("a", "raises after an event"),
            Add("a", 2),
            Misbehave("a", "exits"),
        ]
        outcomes = system.execute_many(commands, return_exceptions=True)
        assert [type(outcome).__name__ for outcome in outcomes] == [
            "Receipt",
            "DeciderFailed",
            "Receipt",
            "DeciderFailed",
        ]
        system.then_recorded(Added("a", 1), Added("a", 2))
        assert isinstance(outcomes[1].__cause__, RuntimeError)


def test_a_decider_that_never_returns_is_reported_and_does_not_hold_up_close(gates):
    system = open_system(trouble, decider_limit=0.05)
    with Threads() as threads:
        with pytest.raises(CommandTimeout) as caught:
            system.execute(Misbehave("stuck", "hangs"), timeout=0.2)
        assert caught.value.command_id
        assert gates.entered.is_set()
        behind = [system.submit(Add(f"behind-{n}")) for n in range(3)]
        many = []
        threads.start(
            lambda: many.extend(system.execute_many([Add("m-1"), Add("m-2")], return_exceptions=True))
        )
        wait_until(lambda: system.health().writer.waiting == 5)
        problems = wait_until(lambda: system.health().problems)
        assert "Misbehave on stream 'thing-stuck' has been deciding for" in problems[0]
        assert system.query(SizeOf("stuck")) is None
        began = time.monotonic()
        system.close(timeout=0.5)
        assert time.monotonic() - began < 5
    for future in behind:
        assert isinstance(future.exception(timeout=1), SystemClosed)
    assert [type(outcome) for outcome in many] == [SystemClosed, SystemClosed]


def test_a_decider_that_hangs_does_not_hold_back_the_news_of_the_commits_before_it(gates):
    with open_system(trouble) as system:
        for number in range(20):  # in quick succession, so that the writer waits with what it tells
            receipt = system.execute(Add(f"quick-{number}"))
        stuck = system.submit(Misbehave("stuck", "hangs"))
        assert gates.entered.wait(PATIENCE)
        assert system.query(SizeOf("quick-19"), after=receipt, timeout=PATIENCE) is not None
        assert not stuck.done()
        gates.release.set()
        stuck.exception(timeout=PATIENCE)


def test_a_decider_that_hangs_does_not_hold_back_the_replies_of_the_batch_before_it(gates, monkeypatch):
    entered, release = threading.Event(), threading.Event()
    commit = EventLog._commit

    def held(log, transaction):
        entered.set()
        assert release.wait(PATIENCE)
        commit(log, transaction)

    with open_system(trouble) as system:
        monkeypatch.setattr(EventLog, "_commit", held)
        first = system.submit(Add("first"))
        assert entered.wait(PATIENCE)
        stuck = system.submit(Misbehave("stuck", "hangs"))
        release.set()
        assert gates.entered.wait(PATIENCE)
        assert first.result(PATIENCE).last == 1
        assert not stuck.done()
        assert system.query(SizeOf("first"), after=1) == 1
        gates.release.set()
        assert stuck.result(PATIENCE).last == 2


def test_what_a_decider_gives_after_close_is_not_written(gates, store_path):
    others = set(threading.enumerate())
    system = trouble_at(store_path)
    late = system.submit(Misbehave("stuck", "hangs"))
    assert gates.entered.wait(10)
    with Threads() as threads:
        threads.start(system.close, 0.2)
        error = late.exception(timeout=10)
    assert isinstance(error, SystemClosed)
    [writer] = [one for one in set(threading.enumerate()) - others if one.name == "onewriter-command-handler"]
    gates.release.set()
    writer.join(10)
    assert not writer.is_alive()
    with trouble_at(store_path) as again:
        assert again.position == 0
        still_serves(again)


# -- queries ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("raises", "query Misask failed with RuntimeError: the query is broken"),
        ("raises late", "ZeroDivisionError"),
        ("exits", "SystemExit"),
        ("reads what it did not declare", "add its model to the query's reads="),
    ],
)
def test_a_bad_query_fails_alone(system, how, text):
    with pytest.raises(QueryFailed, match=text):
        system.query(Misask(how))
    assert system.query(SizeOf("nothing")) is None


def test_a_query_that_never_returns_times_out_and_others_go_to_another_replica(gates, monkeypatch):
    monkeypatch.setattr("actors.queries.query_dispatcher.OCCUPIED_AFTER", 0.01)
    with open_system(trouble, replicas=2, busy_limit=0.05) as system:
        with pytest.raises(QueryTimeout, match=r"no answer from replica-1\.query-1 within 0.1 s"):
            system.query(Misask("hangs"), timeout=0.1)
        wait_until(lambda: inside.progress(system).occupied)
        # Whatever else takes long on a busy machine is a problem, too.
        running = "query Misask has been running on replica-1.query-1 for "
        wait_until(lambda: any(one.startswith(running) for one in system.health().problems))
        for n in range(20):
            still_serves(system, f"fine-{n}")
        gates.release.set()
        wait_until(lambda: system.health().status == "ok")
        assert [replica.queries_served for replica in system.health().replicas] == [1, 20]


def test_a_query_that_never_returns_does_not_hold_up_close(gates):
    system = open_system(trouble)
    with pytest.raises(QueryTimeout):
        system.query(Misask("hangs"), timeout=0.1)
    began = time.monotonic()
    system.close(timeout=0.3)
    assert time.monotonic() - began < 5


def test_a_position_that_no_replica_reaches_is_never_answered_stale(system):
    ahead = system.position + 1
    with pytest.raises(ConsistencyTimeout, match="no stale answer was given"):
        system.query(SizeOf("a"), after=ahead, timeout=0.05)
    with pytest.raises(ConsistencyTimeout):
        system.view(sizes, after=ahead, timeout=0.05)
    with pytest.raises(ConsistencyTimeout):
        system.wait_applied(ahead, timeout=0.05)


def test_a_view_expires(gates):
    with open_system(trouble, view_max_age=0.05) as system:
        still_serves(system)
        view = system.view(sizes)
        reader = view[things]
        wait_until(lambda: _expired(lambda: reader.get("fine")))
        with pytest.raises(ViewExpired):
            view[things].get("fine")
        with pytest.raises(ViewExpired):
            view.position()
        view.close()
        with system.view(sizes) as fresh:
            assert fresh[things].get("fine") == {"id": "fine", "size": 7}
        with pytest.raises(ViewExpired):
            fresh[things].get("fine")


def _expired(read):
    try:
        read()
    except ViewExpired:
        return True
    return False


# -- too much at once -------------------------------------------------------------------------
def test_a_full_mailbox_refuses_after_the_timeout_and_takes_again_when_there_is_room(gates):
    with open_system(trouble, mailbox_size=3) as system:
        stuck = system.submit(Misbehave("stuck", "hangs"))
        assert gates.entered.wait(10)
        waiting = [system.submit(Add(f"w-{n}")) for n in range(3)]
        with pytest.raises(Overloaded, match="3 commands wait"):
            system.execute(Add("too-many"), timeout=0.05)
        with pytest.raises(Overloaded):
            system.submit(Add("too-many"), timeout=0)
        gates.release.set()
        assert stuck.result(10).last == 1
        assert [future.result(10).last for future in waiting] == [2, 3, 4]
        still_serves(system)
        assert system.stream("thing-too-many") == []


def trouble_at(path):
    from actors import System

    return System.open(path, trouble, replicas=1)
