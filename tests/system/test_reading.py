"""A system that is opened for reading: it follows what another process writes, and changes nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import (
    DamagedStore,
    NotAStore,
    OpenedForReading,
    StorageError,
    StoreLocked,
    System,
    UnknownName,
)
from tests import inside, preloaded
from tests.forked import Forked
from tests.helpers import wait_until
from tests.system.club import Join, club, names, register
from tests.system.currencies import Sum, dollars, fill
from tests.system.currencies import shop as currencies
from tests.system.jobs import DELAY, Begin, World, jobs_of
from tests.system.ledger import EACH, Deposit, Deposited, Everywhere, InTables, failing, in_tables, ledger
from tests.system.writing_child import writer

WORKERS = pytest.mark.parametrize("workers", ["thread", "process"])


def contents(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Size, time of change and inode of all files, but for LMDB's table of readers: a reader is in it."""
    return {
        str(path.relative_to(folder)): (found.st_size, found.st_mtime_ns, found.st_ino)
        for path in [folder, *folder.rglob("*")]
        if path.name != "lock.mdb"
        for found in [path.stat()]
    }


@pytest.fixture
def filled(store_path: Path) -> Path:
    """A store that no program has open."""
    with System.open(store_path, ledger, replicas=1) as system:
        system.execute_many([Deposit("a", 1), Deposit("b", 2)])
    return store_path


@pytest.fixture(autouse=True)
def _nothing_fails() -> Iterator[None]:
    yield
    failing.clear()


@WORKERS
def test_a_store_that_no_program_has_open_is_read_and_left_as_it_is(filled: Path, workers: Any) -> None:
    before = contents(filled)
    with System.open(filled, ledger, mode="read", replicas=2, workers=workers) as system:
        assert system.wait_applied() == system.position == 2
        for query in EACH:
            assert system.query(query(), consistency="strong") == {"a": (1, 1), "b": (1, 2)}
        assert [one.event for one in system.stream("account-a")] == [Deposited("a", 1)]
        assert [one.position for one in system.subscribe(until=2)] == [1, 2]
        assert system.dump("replica-2", in_tables)["accounts"][0]["name"] == "a"
        health = system.health()
        assert (health.status, health.mode) == ("ok", "read")
        assert "command-handler" not in [one.name for one in health.actors]
    assert contents(filled) == before


@WORKERS
def test_it_follows_a_writer_in_another_process(store_path: Path, workers: Any) -> None:
    with writer(store_path) as other:
        with System.open(store_path, ledger, mode="read", replicas=2, workers=workers) as system:
            for number in range(1, 20):
                assert other.ask(1) == number
                # What was acknowledged there is seen here.
                assert system.query(InTables(), consistency="strong") == {"a": (number, number)}
            events = system.subscribe(after=19, timeout=20.0)
            position = other.ask(5)
            assert next(events).event == Deposited("a", 5)
            assert system.query(Everywhere(), after=position) == ({"a": (20, 24)},) * 3
            committed: list[tuple[int, int]] = []
            system.on_committed(lambda first, last: committed.append((first, last)))
            system.wait_applied(position)  # a watch begins with what any replica has
            watch = iter(system.watch(InTables(), timeout=20.0))
            assert next(watch) == {"a": (20, 24)}
            other.ask(1)
            assert next(watch) == {"a": (21, 25)}
            wait_until(lambda: committed)
            assert committed == [(21, 21)]
        assert other.ask(1) == 22


def test_a_writer_comes_and_goes_while_a_reader_stays(filled: Path) -> None:
    with System.open(filled, ledger, mode="read", replicas=1) as system:
        for round_number in range(2):
            with writer(filled) as other:
                assert other.position == 2 + round_number
                other.ask(3)
            assert system.query(InTables(), consistency="strong")["a"] == (
                2 + round_number,
                4 + 3 * round_number,
            )


@pytest.mark.kill
def test_killing_the_writer_leaves_the_reader_well(store_path: Path) -> None:
    with writer(store_path) as other, System.open(store_path, ledger, mode="read", replicas=1) as system:
        other.ask(1)
        other.end(kill=True)
        assert system.query(InTables(), consistency="strong") == {"a": (1, 1)}
        with writer(store_path) as next_one:
            next_one.ask(1)
            assert system.query(InTables(), consistency="strong") == {"a": (2, 2)}
            assert system.health().status == "ok"


READER = """
import sys
from actors import System
from tests.system.ledger import InTables, ledger
with System.open(sys.argv[1], ledger, mode="read", replicas=1) as system:
    with system.view() as view:
        print(system.query(InTables(), consistency="strong"), flush=True)
        sys.stdin.read()
"""


@pytest.mark.kill
def test_killing_a_reader_leaves_the_writer_well(store_path: Path) -> None:
    with writer(store_path) as other:
        other.ask(1)
        with Forked("-c", READER, str(store_path), stdin=True) as reader:
            assert reader.stdout.readline() == "{'a': (1, 1)}\n"
            reader.kill()
        assert other.ask(1) == 2
    with System.open(store_path, ledger, replicas=1) as system:
        assert system.query(InTables(), consistency="strong") == {"a": (2, 2)}


def test_a_reader_does_not_keep_a_writer_out_and_a_second_writer_stays_out(filled: Path) -> None:
    with System.open(filled, ledger, mode="read", replicas=1), writer(filled), pytest.raises(StoreLocked):
        System.open(filled, ledger)


def test_what_would_write_is_refused(filled: Path) -> None:
    before = contents(filled)
    with System.open(filled, ledger, mode="read", replicas=1) as system:
        for call in (
            lambda: system.execute(Deposit("a")),
            lambda: system.submit(Deposit("a")).result(20),
            lambda: system.execute_many([Deposit("a")]),
            lambda: system.session().execute(Deposit("a")),
            lambda: system.append("account-a", [Deposited("a", 1)]),
            lambda: system.consumer("mailer"),
            lambda: system.consume("mailer", print),
            lambda: system.delete_consumer("mailer"),
            lambda: system.replay_parked("mailer"),
            system.wait_process_managers,
        ):
            with pytest.raises(OpenedForReading, match=r'mode="read".*System\.open'):
                call()
        assert system.consumers() == []
        assert system.position == 2
    assert contents(filled) == before


def test_it_is_refused_in_an_event_loop_too(filled: Path) -> None:
    async def work() -> None:
        async with System.open(filled, ledger, mode="read", replicas=1) as system:
            with pytest.raises(OpenedForReading):
                await system.aexecute(Deposit("a"))
            assert await system.aquery(InTables(), consistency="strong") == {"a": (1, 1), "b": (1, 2)}

    asyncio.run(work())


def test_consumers_are_shown_as_their_process_left_them(filled: Path) -> None:
    with System.open(filled, ledger, replicas=1) as system, system.consumer("mailer") as consumer:
        next(consumer).ack()
    with System.open(filled, ledger, mode="read", replicas=1) as system:
        [status] = system.consumers()
        assert (status.name, status.position) == ("mailer", 1)


def test_a_model_that_stopped_goes_on_when_the_writer_has_it_skip_the_event(store_path: Path) -> None:
    failing.add("in_tables")
    with writer(store_path, "in_tables") as other:
        other.ask(1)
        position = other.ask(13)
        with System.open(store_path, ledger, mode="read", replicas=1) as system:
            stopped = lambda: [one.stopped_at for one in system.health().replicas[0].models]  # noqa: E731
            wait_until(lambda: position in stopped())
            with pytest.raises(OpenedForReading):
                system.skip_event(in_tables, position)
            other.ask(f"skip in_tables {position}")
            wait_until(lambda: system.health().status == "ok")
            assert [one.position for one in system.skipped_events()] == [position]


def test_a_model_is_rebuilt_in_the_readers_own_replicas(filled: Path) -> None:
    before = contents(filled)
    with System.open(filled, ledger, mode="read", replicas=1) as system:
        system.rebuild(in_tables, wait=True, timeout=20.0)
        assert system.query(InTables(), consistency="strong") == {"a": (1, 1), "b": (1, 2)}
    assert contents(filled) == before


CORRECTING = """
import sys
from actors import System
from tests.system.currencies import dollars, shop
with System.open(sys.argv[1], shop, replicas=1) as system:
    system.plan_correction(dollars).apply(who="ann", why="wrong")
"""


def test_models_are_filled_again_when_the_writer_corrects_their_events(store_path: Path) -> None:
    with System.open(store_path, currencies, replicas=1) as system:
        fill(system)
    with System.open(store_path, currencies, mode="read", replicas=1) as system:
        assert system.query(Sum("EUR"), consistency="strong") == 30
        with pytest.raises(OpenedForReading):
            system.plan_correction(dollars).apply(who="ann", why="wrong")
        preloaded.run(["-c", CORRECTING, str(store_path)], preloaded.ROOT).check_returncode()
        wait_until(lambda: system.query(Sum("USD")) == 30)
        assert system.query(Sum("EUR")) == 0


UNSKIPPING = """
import sys
from actors import System
from tests.system.ledger import in_tables, ledger
with System.open(sys.argv[1], ledger, replicas=1) as system:
    system.unskip_event(in_tables, int(sys.argv[2]))
"""


@WORKERS
def test_models_are_filled_again_when_the_writer_takes_a_skip_back(filled: Path, workers: Any) -> None:
    failing.add("in_tables")
    with System.open(filled, ledger, replicas=1) as system:
        position = system.execute(Deposit("a", 13)).position
        wait_until(lambda: position in [one.stopped_at for one in system.health().replicas[0].models])
        system.skip_event(in_tables, position)
    failing.clear()
    with System.open(filled, ledger, mode="read", replicas=2, workers=workers) as system:
        assert system.query(InTables(), consistency="strong")["a"] == (1, 1)
        preloaded.run(["-c", UNSKIPPING, str(filled), str(position)], preloaded.ROOT).check_returncode()
        wait_until(lambda: not system.skipped_events())
        for name in system.replica_names:
            wait_until(lambda name=name: system.dump(name, in_tables)["accounts"][0]["total"] == 14)
        assert system.health().skipped_events == 0


READ_ONLY = """
mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && touch "$1/file" && exit 1
exec "$2" -c "$3" "$1" < /dev/null
"""


def test_a_store_on_a_read_only_file_system_is_read(filled: Path) -> None:
    if subprocess.run(["unshare", "-m", "mount", "--bind", filled, filled], capture_output=True).returncode:
        pytest.skip("this user may not mount")
    before = contents(filled)
    command = ["unshare", "-m", "sh", "-c", READ_ONLY, "sh", str(filled), sys.executable, READER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "{'a': (1, 1), 'b': (1, 2)}\n", done.stderr
    assert contents(filled) == before


def test_tables_of_inline_models_are_read_from_the_log(store_path: Path) -> None:
    with System.open(store_path, club, replicas=1) as system:
        system.execute(Join("1", "ann"))
    before = contents(store_path)
    with System.open(store_path, club, mode="read", replicas=1) as system, system.view(register) as view:
        assert [row["name"] for row in view[names].all()] == ["ann"]
    assert contents(store_path) == before


# -- its own replicas ----------------------------------------------------------------------------------------
def test_the_replicas_are_in_a_temporary_folder_that_is_removed(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with System.open(filled, ledger, mode="read", replicas=1) as system:
        assert system.wait_applied() == 2
        assert [one.name for one in temporary.glob("*/*")] == ["replica-1"]
    assert list(temporary.iterdir()) == []
    with pytest.raises(NotAStore):
        System.open(tmp_path / "nothing", ledger, mode="read")
    assert list(temporary.iterdir()) == []


@WORKERS
def test_replicas_that_are_kept_catch_up_at_the_next_opening(
    filled: Path, tmp_path: Path, workers: Any
) -> None:
    kept = tmp_path / "kept"
    for total, events in ((1, 2), (2, 1)):
        options: Any = {"mode": "read", "replicas": 1, "replicas_path": kept, "workers": workers}
        with System.open(filled, ledger, **options) as system:
            assert system.query(InTables(), consistency="strong")["a"] == (total, total)
            wait_until(lambda: system.health().replicas[0].events_applied)
            assert system.health().replicas[0].events_applied == events
        with System.open(filled, ledger, replicas=1) as system:
            system.execute(Deposit("a", 1))
    assert (kept / "replica-1" / "data.mdb").exists()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"mode": "quiet"}, "mode= must be 'write' or 'read'"),
        ({"mode": "read", "managers": True}, "managers=True needs mode='write'"),
        ({"managers": "no"}, "managers= must be True, False or None"),
        ({"replicas_path": "elsewhere"}, "replicas_path= needs mode='read'"),
    ],
)
def test_options_that_make_no_sense_are_refused(filled: Path, options: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        System.open(filled, ledger, **options)


def test_no_replicas_are_made_inside_the_store(filled: Path) -> None:
    before = contents(filled)
    with pytest.raises(ValueError, match="inside the store"):
        System.open(filled, ledger, mode="read", replicas_path=filled / "mine")
    assert contents(filled) == before


# -- what is not there, or not whole -------------------------------------------------------------------------
def test_nothing_is_made_where_there_is_no_store(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(NotAStore):
            System.open(path, ledger, mode="read")
    assert list(tmp_path.iterdir()) == []


def test_one_process_has_a_store_open_once(filled: Path) -> None:
    with System.open(filled, ledger, replicas=1), pytest.raises(StorageError, match="already open"):
        System.open(filled, ledger, mode="read", replicas=1)


def test_a_copy_that_was_never_opened_is_checked_and_gets_no_lock_file(filled: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(filled / "data.mdb", copy)
    with System.open(copy, ledger, mode="read", replicas=1) as system:
        assert system.wait_applied() == 2
    assert sorted(os.listdir(copy)) == ["data.mdb", "lock.mdb"]
    with open(copy / "data.mdb", "r+b") as file:
        file.truncate((copy / "data.mdb").stat().st_size // 2)
    with pytest.raises(DamagedStore):
        System.open(copy, ledger, mode="read", replicas=1)


# -- process managers ----------------------------------------------------------------------------------------
def test_process_managers_are_shown_and_do_not_run(store_path: Path) -> None:
    away = World(send=lambda _payload, _key: unreachable())
    with System.open(store_path, jobs_of(away, attempts=1), replicas=1) as system:
        system.execute(Begin("one"))
        wait_until(lambda: system.process_managers()[0].parked)
    before = contents(store_path)
    world = World()
    with System.open(store_path, jobs_of(world), mode="read", replicas=1) as system:
        inside.advance(system, 2 * DELAY)
        [shown] = system.process_managers()
        assert (shown.instances, shown.timers, shown.parked, shown.lag) == (1, 1, 1, 0)
        assert system.process_manager_state("worker", "one").worked == 1
        [effect] = system.effects("worker")
        for call in (
            lambda: system.retry_effect("worker", effect.key),
            lambda: system.drop_effect("worker", effect.key),
            lambda: system.retry_instance("worker", "one"),
            lambda: system.skip_instance("worker", "one"),
            lambda: system.skip_process_manager("worker"),
        ):
            with pytest.raises(OpenedForReading):
                call()
        with pytest.raises(UnknownName):
            system.effects("nobody")
        health = system.health()
        assert health.status == "ok"
        assert health.managers_off is not None
    assert world.sent == []
    assert contents(store_path) == before


def unreachable() -> None:
    raise OSError("no network")
