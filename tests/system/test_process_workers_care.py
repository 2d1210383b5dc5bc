"""Worker processes under an operator's hands: models that stop, rebuilds, programs that die, and domains that
don't fit.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import DomainError, ForkedProcess, ModelStopped, System
from storage.files.store_lock import StoreLock
from tests import inside
from tests.helpers import PATIENCE, wait_until
from tests.inside import worker_pids
from tests.system import yard
from tests.system.tallies import Tallies
from tests.system.test_process_workers import gone
from tests.system.yard import POISON, Count, Seen, TotalOf

ROOT = Path(__file__).parents[2]


@pytest.fixture
def system(store_path: Path) -> Iterator[System]:
    with System.open(store_path, yard.yard, replicas=2, workers="process") as opened:
        yield opened


# -- models that stop, and rebuilds ----------------------------------------------------------
def test_a_model_that_stops_is_shown_and_goes_on_when_the_event_is_skipped(
    system: System, caplog: pytest.LogCaptureFixture
) -> None:
    system.execute_many([Count("a"), Count(POISON), Count("b")])
    assert system.query(TotalOf("b"), consistency="strong") == 1
    with pytest.raises(ModelStopped, match="it is poison"):
        system.query(Seen(), consistency="strong")

    def shown() -> bool:
        found = [one for replica in system.health().replicas for one in replica.models if one.stopped_at]
        return len(found) == 2 and all(
            (one.name, one.stopped_at) == ("fragile", 2) and "look" in str(one.failure) for one in found
        )

    wait_until(shown)
    assert any(
        "model fragile on replica-1 is stopped at position 2" in one for one in system.health().problems
    )
    logged = [record for record in caplog.records if "fragile" in record.getMessage()]
    assert {record.name for record in logged} == {"onewriter.replica"}
    system.skip_event(yard.fragile, 2, "poison")
    assert system.query(Seen(), consistency="strong", timeout=PATIENCE) == ["a", "b"]
    assert system.wait_applied() == 3
    wait_until(lambda: system.health().status == "ok")


def test_an_event_that_was_skipped_is_skipped_by_workers_that_come_later(system: System) -> None:
    system.execute_many([Count("a"), Count(POISON), Count("b")])
    with pytest.raises(ModelStopped):
        system.wait_applied()
    wait_until(
        lambda: all(any(one.stopped_at for one in replica.models) for replica in system.health().replicas)
    )
    system.skip_event(yard.fragile, 2)
    system.wait_applied()
    system.rebuild(yard.fragile, wait=True, timeout=PATIENCE)
    assert system.kill("replica-1")
    assert system.wait_applied(timeout=PATIENCE) == 3
    assert system.dump("replica-1", yard.fragile) == {"seen": [{"name": "a"}, {"name": "b"}]}


def test_a_model_is_rebuilt_on_one_replica_after_the_other(system: System) -> None:
    system.execute_many([Count(f"thing-{number % 7}") for number in range(500)])
    system.wait_applied()
    before = [store.state.build("counts") for store in inside.stores(system).values()]
    system.rebuild(yard.counts, wait=True, timeout=PATIENCE)
    after = [store.state.build("counts") for store in inside.stores(system).values()]
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert system.rebuilds() == ()
    assert system.query(TotalOf("thing-0"), consistency="strong") == 72
    assert system.dump("replica-1", yard.counts) == system.dump("replica-2", yard.counts)


@pytest.mark.kill
def test_a_rebuild_goes_on_after_its_worker_was_killed(system: System) -> None:
    system.execute_many([Count(f"thing-{number % 7}") for number in range(500)])
    system.wait_applied()
    os.kill(worker_pids(system)["replica-1"], signal.SIGKILL)
    system.rebuild(yard.counts, wait=True, timeout=PATIENCE)
    system.wait_applied(timeout=PATIENCE)
    assert system.rebuilds() == ()
    assert system.dump("replica-1", yard.counts) == system.dump("replica-2", yard.counts)


def test_a_replica_that_is_no_good_is_begun_anew_by_its_worker(system: System) -> None:
    system.execute_many([Count("a") for _ in range(100)])
    system.wait_applied()
    inside.mark_damaged(system, "replica-1", "a test says so")
    assert system.query(TotalOf("a"), consistency="strong") == 100
    assert system.wait_applied(timeout=PATIENCE) == 100
    reason = wait_until(lambda: system.health().replicas[0].reset_reason)
    assert reason == "a test says so"
    assert system.dump("replica-1", yard.counts) == system.dump("replica-2", yard.counts)


@pytest.mark.kill
# -- workers that don't come up ----------------------------------------------------------------
def test_a_worker_that_finds_its_replica_locked_waits_for_it(system: System, store_path: Path) -> None:
    system.execute(Count("a"))
    system.wait_applied()
    with pytest.MonkeyPatch.context() as patch:
        handle = inside.worker(system, "replica-1")
        spawn = handle.spawn
        lock = []

        def spawned() -> None:
            if not lock:
                lock.append(StoreLock(store_path / "replicas" / "replica-1"))
            spawn()

        patch.setattr(handle, "spawn", spawned)
        os.kill(worker_pids(system)["replica-1"], signal.SIGKILL)
        wait_until(lambda: lock)
        assert system.query(TotalOf("a"), consistency="strong", timeout=PATIENCE) == 1
        assert not inside.progress(system).everywhere(1)
        lock[0].release()
        assert system.wait_applied(timeout=PATIENCE) == 1


@pytest.mark.kill
def test_a_worker_that_hangs_at_its_start_is_given_up_and_another_one_started(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    from actors.worker_processes.parent import worker_handle
    from actors.worker_processes.parent import worker_process as process

    boot = process.BOOT
    monkeypatch.setattr(process, "BOOT", "import threading; threading.Event().wait()")
    monkeypatch.setattr(worker_handle.WorkerHandle.wait_ready, "__defaults__", (0.3,))
    os.kill(worker_pids(system)["replica-1"], signal.SIGKILL)
    wait_until(lambda: "was not ready" in str(system.health().actors[0].last_error))
    system.execute(Count("a"))
    assert system.query(TotalOf("a"), consistency="strong", timeout=PATIENCE) == 1
    monkeypatch.setattr(process, "BOOT", boot)
    # One that is being started hangs still.
    monkeypatch.setattr(worker_handle.WorkerHandle.wait_ready, "__defaults__", (PATIENCE / 4,))
    assert system.wait_applied(timeout=PATIENCE) == 1


# -- programs --------------------------------------------------------------------------------
def program(folder: Path, main: str, **modules: str) -> subprocess.CompletedProcess[str]:
    """Run a program of these files in a folder of its own."""
    for name, text in {**modules, "main": main}.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, str(folder / "main.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


SHOP = """
    from actors import Domain

    shop = Domain("shop")

    @shop.event(state=None, stream="sales")
    class Sold:
        amount: int

    sales = shop.read_model("sales")
    totals = sales.table("totals", key="name")

    @sales.on
    def add(event: Sold, tables):
        row = tables[totals].get("all") or {"name": "all", "sum": 0}
        tables[totals].put({"name": "all", "sum": row["sum"] + event.amount})

    @shop.query(reads=sales)
    class Sum:
        def run(self, view):
            return view[totals].get("all")["sum"]
"""
MAIN = """
    from actors import System
    from shop import *

    with System.open("{store}", shop, replicas=1, workers="process") as system:
        receipt = system.append("sales", [Sold(3)])
        print(system.query(Sum(), after=receipt))
"""


def test_a_program_needs_no_guard_around_its_main_part(tmp_path: Path) -> None:
    done = program(tmp_path, MAIN.format(store=tmp_path / "store"), shop=SHOP)
    assert (done.stdout, done.stderr, done.returncode) == ("3\n", "", 0)


def test_a_domain_in_the_main_module_is_refused_with_advice(tmp_path: Path) -> None:
    main = SHOP + MAIN.format(store=tmp_path / "store").replace("from shop import *", "")
    done = program(tmp_path, main)
    assert "DomainError: domain 'shop' is declared" in done.stderr
    assert "move it to a module of its own" in done.stderr


def test_a_domain_that_workers_find_otherwise_is_refused(tmp_path: Path) -> None:
    shop = """
    import os
    """
    shop += SHOP
    shop += """
    if "ONLY_HERE" not in os.environ:
        @shop.value
        class Extra:
            name: str
"""
    main = """
    import os
    os.environ["ONLY_HERE"] = "1"
    import shop
    del os.environ["ONLY_HERE"]
    from actors import System
    System.open("{store}", shop.shop, replicas=1, workers="process")
    """
    done = program(tmp_path, main.format(store=tmp_path / "store"), shop=shop)
    assert "class Extra differ" in done.stderr
    assert "DomainError: a worker process imported shop:shop" in done.stderr


def test_a_module_that_cannot_be_imported_again_is_named(tmp_path: Path) -> None:
    main = """
    import os
    import shop
    os.rename(shop.__file__, shop.__file__ + ".away")
    os.system("rm -rf " + os.path.dirname(shop.__file__) + "/__pycache__")
    from actors import System
    System.open("{store}", shop.shop, replicas=1, workers="process")
    """
    done = program(tmp_path, main.format(store=tmp_path / "store"), shop=SHOP)
    assert "module 'shop', which domain shop:shop is made in, can't be imported" in done.stderr


@pytest.mark.kill
def test_no_worker_outlives_a_program_that_is_killed(tmp_path: Path) -> None:
    """Not even where a child that the program forked holds its end of the lines open."""
    main = """
    import os, sys, threading
    from actors import System
    from tests import inside
    from tests.system.yard import yard
    system = System.open(sys.argv[1], yard, replicas=2, workers="process")
    forked = os.fork()
    if forked:
        print(forked, *inside.worker_pids(system).values(), flush=True)
    threading.Event().wait()
    """
    (tmp_path / "main.py").write_text(textwrap.dedent(main))
    store = tmp_path / "store"
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "main.py"), str(store)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        forked, *workers = map(int, process.stdout.readline().split())
        process.kill()
    try:
        assert len(workers) == 2
        wait_until(lambda: all(map(gone, workers)))
    finally:
        os.kill(forked, signal.SIGKILL)
    with System.open(store, yard.yard, replicas=2, workers="process") as again:
        again.execute(Count("a"))
        assert again.wait_applied(timeout=PATIENCE) == 1


def test_a_store_can_be_opened_at_once_after_its_program_was_killed_in_the_middle_of_a_query(
    tmp_path: Path,
) -> None:
    main = """
    import sys, threading
    from actors import System
    from tests.system.yard import Hang, yard
    system = System.open(sys.argv[1], yard, replicas=1, workers="process")
    threading.Thread(target=system.query, args=(Hang(sys.argv[2]),), daemon=True).start()
    threading.Event().wait()
    """
    fifo, store = tmp_path / "fifo", tmp_path / "store"
    os.mkfifo(fifo)
    (tmp_path / "main.py").write_text(textwrap.dedent(main))
    command = [sys.executable, str(tmp_path / "main.py"), str(store), str(fifo)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    # Opening it for writing waits until the query reads from it, and keeping it open has that hang.
    with process, fifo.open("w"):
        process.kill()
        process.wait()
        with System.open(store, yard.yard, replicas=1) as again:
            assert again.position == 0


def test_a_forked_child_must_not_use_it(system: System) -> None:
    child = os.fork()
    if not child:
        try:
            system.query(TotalOf("a"))
        except ForkedProcess:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    system.execute(Count("a"))
    assert system.query(TotalOf("a"), consistency="strong") == 1


def test_the_store_can_be_opened_with_threads_after_processes_and_back(store_path: Path) -> None:
    for number, workers in enumerate(["thread", "process", "thread", "process"], 1):
        with System.open(store_path, yard.yard, replicas=2, workers=workers) as system:  # type: ignore[arg-type]
            system.execute(Count("a"))
            assert system.query(TotalOf("a"), consistency="strong") == number
            assert [one.reset_reason for one in system.health().replicas] == [None, None]


def test_a_domain_that_is_held_by_an_object_only_is_refused(store_path: Path) -> None:
    with pytest.raises(DomainError, match="no attribute of a module"):
        System.open(store_path, Tallies(1).domain, workers="process")
