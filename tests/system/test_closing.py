"""Closing under load, use after closing, and forked children."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from actors import CommitUncertain, QueryFailed, System, SystemClosed, ViewExpired
from actors.domain.read_model import Handler
from actors.testing import open_system
from storage import StoreClosed
from tests import inside
from tests.helpers import PATIENCE, Threads, wait_until
from tests.system.trouble import (
    Add,
    Added,
    Misbehave,
    SizeOf,
    on_added,
    sizes,
    still_serves,
    things,
    trouble,
)
from tests.system.trouble import gates as gates_of_trouble

THREADS = 8


def open_at(path, **settings):
    return System.open(path, trouble, **{"replicas": 1, **settings})


def test_a_view_that_was_asked_for_before_the_close_is_refused_at_once(store_path, monkeypatch):
    with open_at(store_path) as system:
        system.execute(Add("a"))
        system.wait_applied()
        tried = []

        def closed(*_, **__):
            tried.append(1)
            raise StoreClosed("closed")

        monkeypatch.setattr(inside.store(system, "replica-1"), "snapshot", closed)
        inside.progress(system).close()
        with pytest.raises(SystemClosed, match="no view was opened"):
            system.view(sizes)
        assert tried == [1]


# -- close() during load ----------------------------------------------------------------------
@pytest.mark.parametrize("timeout", [30.0, 0.0], ids=["draining", "at once"])
@pytest.mark.parametrize("way", ["execute", "submit", "execute_many"])
def test_everyone_gets_a_receipt_that_holds_or_system_closed(store_path, way, timeout):
    receipts, refused, unknown = [], [], []

    def once(system, command):
        if way == "execute":
            return [system.execute(command)]
        if way == "submit":
            return [system.submit(command).result(20)]
        return system.execute_many([command, command], return_exceptions=True)

    def load(system, name):
        for number in range(1_000_000):
            command = Add(f"{name}-{number}")
            try:
                outcomes = once(system, command)
            except (SystemClosed, CommitUncertain) as error:
                outcomes = [error]
            for outcome in outcomes:
                if isinstance(outcome, SystemClosed):
                    refused.append(command)
                elif isinstance(outcome, CommitUncertain):
                    unknown.append(command)
                else:
                    receipts.append(outcome)
            if command in refused or command in unknown:
                return

    for _ in range(3):
        system = open_at(store_path)
        before = len(receipts)
        with Threads() as threads:
            for name in range(THREADS):
                threads.start(load, system, f"{system.position}-{name}")
            wait_until(lambda: len(receipts) - before > 200)  # noqa: B023
            system.close(timeout)
    with open_at(store_path) as again:
        log = list(again.subscribe(until=again.position))
        assert [recorded.position for recorded in log] == list(range(1, len(log) + 1))
        for receipt in receipts:
            assert log[receipt.first - 1].event == receipt.events[0]
            assert log[receipt.first - 1].command_id == receipt.command_id
        written = [recorded.event.id for recorded in log]
        if way != "execute_many":
            assert not {command.id for command in refused} & set(written)
            acknowledged = {receipt.events[0].id for receipt in receipts}
            assert set(written) - acknowledged <= {command.id for command in unknown}
        again.wait_applied()
        with again.view(sizes) as view:
            assert {row["id"] for row in view[things].all()} == set(written)


def test_queries_views_and_subscriptions_end_when_the_system_closes(store_path):
    system = open_at(store_path)
    still_serves(system)
    seen, ended = [], []

    def ask():
        try:
            while True:
                seen.append(system.query(SizeOf("fine")))
        except (SystemClosed, QueryFailed):
            ended.append(ask)

    def follow():
        seen.extend(recorded.event for recorded in system.subscribe())

    def wait_for_what_never_comes():
        with pytest.raises(SystemClosed):
            system.query(SizeOf("fine"), after=99, timeout=20)

    def wait_for_a_view():
        with pytest.raises(SystemClosed):
            system.view(sizes, after=99, timeout=20)

    def wait_applied():
        with pytest.raises(SystemClosed):
            system.wait_applied(99, timeout=20)

    with Threads() as threads:
        for waiting in (ask, ask, follow, wait_for_what_never_comes, wait_for_a_view, wait_applied):
            threads.start(waiting)
        wait_until(lambda: len(seen) > 50 and Added("fine", 7) in seen)
        began = time.monotonic()
        system.close()
        assert time.monotonic() - began < 10
    assert ended == [ask, ask]


def test_a_subscription_that_is_behind_ends_when_the_system_closes(store_path, monkeypatch):
    monkeypatch.setattr("actors.subscriptions.log_cursor.BATCH", 2)
    system = open_at(store_path)
    for number in range(5):
        system.execute(Add(str(number)))
    following = system.subscribe()
    assert next(following).position == 1
    system.close()
    assert [recorded.position for recorded in following] == [2]


def test_commands_that_wait_are_handled_before_a_close_ends(store_path, gates):
    system = open_at(store_path)
    first = system.submit(Misbehave("slow", "hangs"))
    assert gates.entered.wait(10)
    waiting = [system.submit(Add(f"w-{n}")) for n in range(50)]
    with Threads() as threads:
        threads.start(system.close)
        wait_until(lambda: inside.supervisor(system).closing)
        gates.release.set()
    assert first.result(0).last == 1
    assert [future.result(0).last for future in waiting] == list(range(2, 52))


def test_closing_twice_and_from_two_threads_is_harmless(store_path):
    system = open_at(store_path)
    with Threads() as threads:
        for _ in range(4):
            threads.start(system.close)
    system.close()
    with open_at(store_path) as again:
        again.close()


@pytest.mark.parametrize(
    ("part", "method"),
    [(inside.consumer_registry, "close"), (inside.supervisor, "end"), (inside.view_registry, "expire")],
    ids=["consumers", "supervisor", "views"],
)
def test_a_close_that_is_interrupted_goes_on_when_it_is_called_again(store_path, monkeypatch, part, method):
    before = set(threading.enumerate())
    system = open_at(store_path)
    still_serves(system)

    original = getattr(part(system), method)

    def ctrl_c(*arguments):
        # The supervisor calls some of them too, at its ticks.
        if threading.current_thread().name == "onewriter-supervisor":
            return original(*arguments)
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(part(system), method, ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        system.close()
    with pytest.raises(SystemClosed):
        system.query(SizeOf("a"))
    system.close()
    wait_until(lambda: set(threading.enumerate()) <= before)  # The thread that closes ends after its result.
    with open_at(store_path) as again:
        still_serves(again, "after")


@pytest.mark.parametrize("timeout", [-5, 1e30, float("inf")])
def test_closing_takes_any_time_limit(store_path, timeout):
    with open_at(store_path) as system:
        system.close(timeout)
    open_at(store_path).close()


def test_no_thread_of_a_closed_system_stays_and_none_failed(store_path, caplog):
    before = set(threading.enumerate())
    with open_at(store_path, replicas=2) as system:
        still_serves(system)
        assert len(set(threading.enumerate()) - before) >= 7
    wait_until(lambda: set(threading.enumerate()) <= before)
    assert not caplog.records


# -- projections that do not return -----------------------------------------------------------
def hang_at(id):
    def fn(event, tables, recorded):
        if event.id == id:
            gates_of_trouble.hang()
        on_added(event, tables)

    return Handler(fn, wants_recorded=True)


def test_a_projection_that_never_returns_does_not_hold_up_close(store_path, gates, monkeypatch, caplog):
    others = set(threading.enumerate())
    system = open_at(store_path, replicas=2)
    still_serves(system)
    monkeypatch.setitem(sizes.handlers, Added, hang_at("stuck"))
    system.execute(Add("stuck"))
    assert gates.entered.wait(PATIENCE)
    behind = system.execute(Add("behind"))
    stuck = [one for one in set(threading.enumerate()) - others if one.name.startswith("onewriter-replica-")]
    began = time.monotonic()
    system.close(timeout=0.3)
    assert time.monotonic() - began < 8
    assert "cannot be closed" in caplog.text
    gates.release.set()
    for thread in stuck:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    monkeypatch.undo()
    with open_at(store_path, replicas=2) as again:
        assert again.position == behind.last
        still_serves(again, "after")
        again.wait_applied()
        assert again.dump("replica-1", sizes) == again.dump("replica-2", sizes)
        assert len(again.dump("replica-1", sizes)["things"]) == 4


HANGS = """
import sys
from actors import System
from tests.system.test_closing import hang_at
from tests.system.trouble import Add, Added, gates, sizes, trouble
system = System.open(sys.argv[1], trouble, replicas=1)
sizes.handlers[Added] = hang_at("stuck")
receipt = system.execute(Add("stuck"))
assert gates.entered.wait(30)
system.close(timeout=0.1)
print("closed at", receipt.last)
"""


def test_a_process_whose_projection_never_returns_ends_and_leaves_a_good_store(store_path):
    ended = subprocess.run(
        [sys.executable, "-c", HANGS, store_path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (0, "closed at 1\n"), ended.stderr
    with open_at(store_path) as again:
        still_serves(again)
        assert again.query(SizeOf("stuck")) == 1


# -- use after close --------------------------------------------------------------------------
def test_every_public_method_says_that_the_system_is_closed(store_path):
    system = open_at(store_path)
    still_serves(system)
    view = system.view(sizes)
    session = system.session()
    session.execute(Add("s"))
    system.close()
    uses = {
        "execute": lambda: system.execute(Add("a")),
        "submit": lambda: system.submit(Add("a")),
        "execute_many": lambda: system.execute_many([Add("a")]),
        "aexecute": lambda: asyncio.run(system.aexecute(Add("a"))),
        "aexecute_many": lambda: asyncio.run(system.aexecute_many([Add("a")])),
        "append": lambda: system.append("thing-a", [Added("a", 1)]),
        "query": lambda: system.query(SizeOf("a")),
        "query_at": lambda: system.query_at(SizeOf("a")),
        "aquery": lambda: asyncio.run(system.aquery(SizeOf("a"))),
        "aquery_at": lambda: asyncio.run(system.aquery_at(SizeOf("a"))),
        "query_many": lambda: system.query_many([SizeOf("a")]),
        "aquery_many": lambda: asyncio.run(system.aquery_many([SizeOf("a")])),
        "view": lambda: system.view(sizes),
        "session": lambda: system.session(),
        "subscribe": lambda: system.subscribe(),
        "watch": lambda: system.watch(SizeOf("a")),
        "consumer": lambda: system.consumer("x"),
        "consume": lambda: system.consume("x", print),
        "consumers": lambda: system.consumers(),
        "delete_consumer": lambda: system.delete_consumer("x"),
        "parked_streams": lambda: system.parked_streams("x"),
        "replay_parked": lambda: system.replay_parked("x"),
        "discard_parked": lambda: system.discard_parked("x", "y"),
        "health": lambda: system.health(),
        "position": lambda: system.position,
        "replica_names": lambda: system.replica_names,
        "stream": lambda: system.stream("thing-a"),
        "streams": lambda: system.streams(),
        "tagged": lambda: system.tagged("x"),
        "wait_applied": lambda: system.wait_applied(),
        "kill": lambda: system.kill("sync"),
        "dump": lambda: system.dump("replica-1", sizes),
        "process_managers": lambda: system.process_managers(),
        "process_manager_state": lambda: system.process_manager_state("x", "a"),
        "process_manager_states": lambda: system.process_manager_states("x"),
        "wait_process_managers": lambda: system.wait_process_managers(),
        "skip_process_manager": lambda: system.skip_process_manager("x"),
        "quarantined_instances": lambda: system.quarantined_instances("x"),
        "retry_instance": lambda: system.retry_instance("x", "a"),
        "skip_instance": lambda: system.skip_instance("x", "a"),
        "effects": lambda: system.effects("x"),
        "retry_effect": lambda: system.retry_effect("x", "y"),
        "drop_effect": lambda: system.drop_effect("x", "y"),
        "digest": lambda: system.digest("replica-1", sizes),
        "rebuild": lambda: system.rebuild(sizes),
        "wait_rebuilt": lambda: system.wait_rebuilt(sizes),
        "rebuilds": lambda: system.rebuilds(),
        "unskip_event": lambda: system.unskip_event(sizes, 1),
        "backup": lambda: system.backup(store_path.with_name("backups")),
        "forget": lambda: system.forget("x"),
        "close_streams": lambda: system.close_streams("x", who="a", why="b"),
        "reopen_streams": lambda: system.reopen_streams("x", who="a", why="b"),
        "closed_streams": lambda: system.closed_streams(),
        "plan_archive": lambda: system.plan_archive(),
        "archive": lambda: system.archive(None, who="a", why="b"),
        "archives": lambda: system.archives(),
        "plan_removal": lambda: system.plan_removal(1),
        "remove_archive": lambda: system.remove_archive(1, who="a", why="b"),
        "info": lambda: system.info(),
        "compact": lambda: system.compact(),
        "chain_head": lambda: system.chain_head(),
        "verify_log": lambda: system.verify_log(),
        "plan_correction": lambda: system.plan_correction(print),
        "corrections": lambda: system.corrections(),
        "corrected_events": lambda: system.corrected_events(1),
        "skip_event": lambda: system.skip_event(sizes, 1),
        "skipped_events": lambda: system.skipped_events(),
        "on_committed": lambda: system.on_committed(print),
        "on_broadcast": lambda: system.on_broadcast(print),
        "on_applied": lambda: system.on_applied(print),
    }
    harmless = {"open", "close", "path", "domain"}
    public = {name for name in dir(System) if not name.startswith("_")}
    assert public == set(uses) | harmless, "a public method that this test does not know"
    for use in (*uses.values(), lambda: session.execute(Add("a")), lambda: session.query(SizeOf("a"))):
        with pytest.raises(SystemClosed, match="the system is closed"):
            use()
    with pytest.raises(ViewExpired):
        view[things].get("fine")
    view.close()
    assert system.path == str(store_path)
    assert system.domain is trouble


# -- forked children --------------------------------------------------------------------------
def in_a_child(function):
    """What `function` gives, as text, in a forked child; one that hangs is ended by an alarm."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(20)
            outcome = str(function())
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        os.write(writing, outcome.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read().decode()
    assert os.waitpid(child, 0)[1] == 0
    return told


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_is_refused_and_the_parent_goes_on():
    with open_system(trouble) as system:
        still_serves(system, "before")
        with system.session() as session:
            for use in (
                lambda: system.execute(Add("child")),
                lambda: system.query(SizeOf("before")),
                lambda: system.health(),
                lambda: system.close(),
                lambda: session.execute(Add("child")),
                lambda: next(iter(system.subscribe())),
            ):
                assert in_a_child(use).startswith("ForkedProcess: this System was opened by the parent")
        still_serves(system, "after")
        assert system.position == 2


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_that_leaves_a_with_block_closes_nothing(store_path):
    with open_at(store_path) as system:

        def leave():
            with system:
                pass
            return "left"

        assert in_a_child(leave) == "left"
        still_serves(system)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_can_not_open_the_store_while_its_parent_has_it(store_path):
    with open_at(store_path) as system:
        assert in_a_child(lambda: open_at(store_path)).startswith("StoreLocked")
        still_serves(system)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_view_from_before_a_fork_is_expired_in_the_child_alone():
    with open_system(trouble) as system:
        still_serves(system)
        with system.view(sizes) as view:
            reader = view[things]
            rows = reader.all()

            def leave():
                with view:
                    pass
                view.close()
                return "left"

            # A thread that is gone in the child may have been reading just then.
            with view._snapshot._access.lock, inside.view_lock(system):
                for use in (
                    lambda: reader.get("fine"),
                    lambda: next(rows),
                    view.position,
                    lambda: len(view[things]),
                ):
                    assert in_a_child(use).startswith("ViewExpired: "), use
                assert in_a_child(leave) == "left"
            assert reader.get("fine") == next(rows) == {"id": "fine", "size": 7}
            assert view.position() == 1
        still_serves(system, "after")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_subscription_from_before_a_fork_ends_with_an_error_in_the_child_alone():
    with open_system(trouble) as system:
        system.execute_many([Add("1"), Add("2")])
        new, begun, at_the_end = system.subscribe(), system.subscribe(), system.subscribe()
        assert next(begun).position == 1
        assert [next(at_the_end).position for _ in range(2)] == [1, 2]
        for following in (new, begun, at_the_end):
            assert in_a_child(lambda: next(following)).startswith(  # noqa: B023
                "ForkedProcess: this subscription was begun by the parent process"
            )
        system.execute(Add("3"))
        assert [next(following).position for following in (new, begun, at_the_end)] == [1, 2, 3]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_consumers_deliveries_and_watches_from_before_a_fork_are_refused_in_the_child_alone():
    with open_system(trouble) as system:
        system.execute_many([Add("1"), Add("2")])
        consumer = system.consumer("mailer")
        delivery = next(consumer)
        watching = system.watch(SizeOf("1"), after=2)
        assert next(watching) == 1
        group = inside.consumer_group(system, "mailer")
        # A thread that is gone in the child may have had the lock just then.
        with group._lock:
            for use, what in (
                (lambda: next(consumer), "consumer"),
                (lambda: delivery.ack(), "delivery"),
                (lambda: delivery.nak(), "delivery"),
                (lambda: next(watching), "watch"),
            ):
                assert in_a_child(use).startswith(f"ForkedProcess: this {what} was begun by the parent")

            def leave():
                with consumer, watching:
                    pass
                return "left"

            assert in_a_child(leave) == "left"
        assert delivery.ack(wait=True)
        assert next(consumer).position == 2
