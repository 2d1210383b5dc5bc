"""A replica whose files are damaged or gone while it runs is begun anew from the log, and the
others serve.
"""

from __future__ import annotations

import logging
import shutil
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from actors import ConsistencyTimeout, System
from actors.replication.backfill import Backfill
from actors.replication.messages import ResetReplica
from storage import DamagedStore, ReplicaStore, StorageError
from tests import inside
from tests.helpers import PATIENCE, Threads, in_a_thread, wait_until
from tests.system.tallies import Tallies

Patch = pytest.MonkeyPatch
PAGE = 4096


def damage(system: System, name: str) -> None:
    """Overwrite every page but the two that LMDB begins with: what is read from them is not what
    was written.
    """
    path = inside.store(system, name).path / "data.mdb"
    with path.open("r+b") as file:
        size = path.stat().st_size
        file.seek(2 * PAGE)
        file.write(b"\0" * (size - 2 * PAGE))


def whole(system: System) -> bool:
    """Whether every replica is asked again and has everything."""
    health = system.health()
    return health.status == "ok" and not any(replica.excluded or replica.lag for replica in health.replicas)


def reasons(system: System) -> list[str | None]:
    return [replica.reset_reason for replica in system.health().replicas]


@pytest.fixture(autouse=True)
def soon(monkeypatch: Patch) -> None:
    """Maintenance looks for files that are gone at every tick."""
    monkeypatch.setattr("actors.queries.local_replica.FILES_CHECK_EVERY", 0.0)


def test_damage_that_a_query_meets_costs_no_answer(store_path: Path) -> None:
    tallies = Tallies(1)
    with System.open(store_path, tallies.domain, replicas=3) as system:
        tallies.note(system, *range(1, 201))
        system.wait_applied()
        damaged = inside.store(system, "replica-2")
        damage(system, "replica-2")
        for _ in range(12):
            assert in_a_thread(lambda: tallies.ask(system, consistency="strong")) == 1
        wait_until(lambda: reasons(system)[1] is not None)
        wait_until(lambda: whole(system))
        assert inside.store(system, "replica-2") is not damaged
        assert reasons(system)[0] is reasons(system)[2] is None
        assert "damaged" in (reasons(system)[1] or "")
        dumps = tallies.dumps(system)
        assert dumps[0] == dumps[1] == dumps[2]
        assert tallies.ask(system, after=tallies.note(system, 201)) == 1
        system.wait_applied()
        assert [one["rows"][0]["count"] for one in tallies.dumps(system)] == [201, 201, 201]


def test_damage_that_a_view_meets_has_the_replica_begun_anew(store_path: Path) -> None:
    tallies = Tallies(1)
    with System.open(store_path, tallies.domain, replicas=2) as system:
        tallies.note(system, *range(1, 201))
        system.wait_applied()
        damage(system, "replica-2")
        failed = 0
        for _ in range(4):
            try:
                with system.view(tallies.model, consistency="strong") as view:
                    assert view[tallies.rows].get("all")["count"] == 200
            except StorageError:
                failed += 1
        assert failed <= 1, "the next ones are of the other replica, or of one that was begun anew"
        wait_until(lambda: reasons(system)[1] is not None)
        wait_until(lambda: whole(system))
        assert "damaged" in (reasons(system)[1] or "")


def test_damage_that_applying_meets_is_mended_while_others_serve(store_path: Path) -> None:
    tallies = Tallies(1)
    with System.open(store_path, tallies.domain, replicas=2) as system:
        tallies.note(system, *range(1, 201))
        system.wait_applied()
        damage(system, "replica-1")
        receipt = tallies.note(system, 201)
        wait_until(lambda: reasons(system)[0] is not None)
        assert tallies.ask(system, after=receipt) == 1
        wait_until(lambda: whole(system))
        first, second = tallies.dumps(system)
        assert first == second
        restarts = {actor.name: actor.restarts for actor in system.health().actors}
        assert not restarts["replica-1"], "the actor itself has no fault"


def test_a_log_that_is_removed_while_it_is_in_use_is_told_of(store_path: Path) -> None:
    tallies = Tallies(1)
    with System.open(store_path, tallies.domain, replicas=1) as system:
        tallies.note(system, 1)
        assert system.health().problems == ()
        (store_path / "data.mdb").unlink()
        wait_until(lambda: system.health().problems)
        [problem] = system.health().problems
        assert "was removed while it was in use: what is committed is lost" in problem
        assert tallies.ask(system, consistency="strong") == 1  # what is there can still be saved


def test_a_program_may_change_its_directory_while_a_store_with_a_relative_path_is_open(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    tallies = Tallies(1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    with System.open("store", tallies.domain, replicas=2) as system:
        tallies.note(system, 1)
        monkeypatch.chdir(elsewhere)
        assert [slot.missing() for slot in inside.slots(system).values()] == [None, None]
        inside.maintenance(system).run()
        assert system.health().problems == ()
        inside.log(system).reopen()
        tallies.note(system, 2)
        system.rebuild(tallies.model, wait=True, timeout=PATIENCE)
        shutil.rmtree(tmp_path / "store" / "replicas" / "replica-2")
        wait_until(lambda: reasons(system)[1] is not None)
        wait_until(lambda: whole(system))
        assert tallies.ask(system, consistency="strong") == 1
    assert list(elsewhere.iterdir()) == []
    assert (tmp_path / "store" / "replicas" / "replica-2").is_dir()


def test_a_directory_that_is_removed_while_it_is_in_use_is_made_anew(store_path: Path) -> None:
    tallies = Tallies(1)
    with System.open(store_path, tallies.domain, replicas=2) as system:
        tallies.note(system, *range(1, 101))
        system.wait_applied()
        shutil.rmtree(store_path / "replicas" / "replica-1")
        wait_until(lambda: reasons(system)[0] is not None)
        wait_until(lambda: whole(system))
        assert "was removed while it was in use" in (reasons(system)[0] or "")
        assert (store_path / "replicas" / "replica-1" / "data.mdb").exists()
        first, second = tallies.dumps(system)
        assert first == second
    with System.open(store_path, Tallies(1).domain, replicas=2) as system:
        assert reasons(system) == [None, None]
        system.wait_applied()


def test_a_replica_that_begins_anew_before_the_news_of_its_damage_is_told_serves_again(
    store_path: Path,
) -> None:
    tallies = Tallies(1)
    logger = logging.getLogger("onewriter.replica")
    with System.open(store_path, tallies.domain, replicas=2) as system:
        tallies.note(system, *range(1, 101))
        system.wait_applied()
        slot = inside.slot(system, "replica-1")
        mailbox = inside.actor(system, "replica-1").mailbox

        class Slow(logging.Handler):
            """Whoever says that it is damaged is slow to say so; the replica's own thread was told
            meanwhile.
            """

            def emit(self, record: logging.LogRecord) -> None:
                logger.removeHandler(self)
                mailbox.put(ResetReplica())
                wait_until(lambda: slot.damage is None)

        logger.addHandler(Slow())
        inside.mark_damaged(system, "replica-1", "it is damaged")
        tallies.note(system, 101)
        wait_until(lambda: whole(system))
        first, second = tallies.dumps(system)
        assert first == second


def test_it_is_left_out_until_it_has_what_was_committed_when_it_was_begun_anew(
    store_path: Path, monkeypatch: Patch
) -> None:
    tallies = Tallies(1)
    go_on = threading.Event()
    go_on.set()
    with System.open(store_path, tallies.domain, replicas=2) as system, Threads() as threads:
        tallies.note(system, *range(1, 101))
        system.wait_applied()

        def held(version: int, position: int) -> None:
            if position == 50 and threading.current_thread().name == "onewriter-replica-1":
                assert go_on.wait(PATIENCE)

        tallies.before = held
        go_on.clear()
        shutil.rmtree(store_path / "replicas" / "replica-1")
        wait_until(lambda: system.health().replicas[0].excluded)
        assert system.health().problems[0].startswith("replica-1 is being filled again from the log: ")
        for _ in range(6):
            rows, position = system.query_at(tallies.Whole())
            assert tallies.check(rows, position) == 1
            assert position == 100
            with system.view(tallies.model) as view:
                assert view.replica == "replica-2"
        with pytest.raises(ConsistencyTimeout):
            system.wait_applied(timeout=0.01)
        threads.start(lambda: system.wait_applied(timeout=PATIENCE))
        go_on.set()
        wait_until(lambda: whole(system))


def test_an_only_replica_answers_nothing_of_half_a_model_meanwhile(store_path: Path) -> None:
    tallies = Tallies(1)
    go_on = threading.Event()
    with System.open(store_path, tallies.domain, replicas=1) as system, Threads() as threads:
        tallies.note(system, *range(1, 101))
        system.wait_applied()
        tallies.before = lambda version, position: position == 50 and go_on.wait(PATIENCE)  # type: ignore[assignment, return-value]
        shutil.rmtree(store_path / "replicas" / "replica-1")
        wait_until(lambda: system.health().replicas[0].excluded)
        with pytest.raises(ConsistencyTimeout):
            tallies.ask(system, timeout=0.01)
        answers: list[int] = []
        threads.start(lambda: answers.append(tallies.ask(system)))
        go_on.set()
        threads.join()
        assert answers == [1]


class Damaged:
    """Damage that the next transaction of a replica meets: pages can't be overwritten while LMDB is
    at them.
    """

    def __init__(self, monkeypatch: Patch) -> None:
        self.name = ""
        write = ReplicaStore.write

        def meeting(store: ReplicaStore) -> Any:
            if store.path.name == self.name:
                self.name = ""
                raise DamagedStore(f"page 7 of {store.path} is not what was written to it")
            return write(store)

        monkeypatch.setattr(ReplicaStore, "write", meeting)


def replaced(system: System, name: str, store: ReplicaStore, threads: Threads) -> bool:
    return threads.failed() or inside.store(system, name) is not store


def test_under_load_nobody_notices(store_path: Path, monkeypatch: Patch) -> None:
    damaged = Damaged(monkeypatch)
    tallies = Tallies(1)
    done = threading.Event()
    with System.open(store_path, tallies.domain, replicas=3) as system, Threads() as threads:
        tallies.note(system, *range(1, 501))
        system.wait_applied()

        def ask() -> None:
            last = 0
            while not done.is_set():
                rows, position = system.query_at(tallies.Whole(), after=last)
                assert tallies.check(rows, position) == 1
                assert position >= last
                last = position

        def write() -> None:
            number = 500
            while not done.is_set():
                number += 1
                tallies.note(system, number)

        try:
            for target in (ask, ask, write):
                threads.start(target)
            for round_, name in enumerate(["replica-1", "replica-2", "replica-3", "replica-1"]):
                before = inside.store(system, name)
                if round_ % 2:
                    shutil.rmtree(before.path)
                else:
                    damaged.name = name
                wait_until(partial(replaced, system, name, before, threads))
                wait_until(lambda: threads.failed() or system.health().status == "ok")
        finally:
            done.set()
    assert not threads.failed()


def test_a_new_home_that_cannot_be_opened_is_tried_again(store_path: Path, monkeypatch: Patch) -> None:
    tallies = Tallies(1)
    with System.open(store_path, tallies.domain, replicas=2) as system:
        tallies.note(system, *range(1, 101))
        system.wait_applied()
        failures = [StorageError("not now"), StorageError("nor now")]
        original = ReplicaStore.open.__func__  # type: ignore[attr-defined]

        def failing(cls: type[ReplicaStore], *arguments: object, **options: object) -> ReplicaStore:
            if failures:
                raise failures.pop()
            return original(cls, *arguments, **options)  # type: ignore[no-any-return]

        monkeypatch.setattr(ReplicaStore, "open", classmethod(failing))
        shutil.rmtree(store_path / "replicas" / "replica-2")
        wait_until(lambda: not failures)
        wait_until(lambda: whole(system))
        first, second = tallies.dumps(system)
        assert first == second


def test_a_replica_that_is_begun_anew_in_the_middle_of_its_rebuild_has_the_new_version_at_once(
    store_path: Path, monkeypatch: Patch
) -> None:
    tallies = Tallies(1)
    with System.open(store_path, tallies.domain, replicas=2) as system:
        tallies.note(system, *range(1, 101))
        system.wait_applied()
    tallies = Tallies(1, 2)
    fill = Backfill._fill

    def small(self: Backfill, runs: object, until: int) -> None:
        self._limit = 10
        fill(self, runs, until)  # type: ignore[arg-type]

    monkeypatch.setattr(Backfill, "_fill", small)
    go_on = threading.Event()
    tallies.before = lambda version, position: (  # type: ignore[assignment, return-value]
        version == 2 and position == 30 and go_on.wait(PATIENCE)
    )
    with System.open(store_path, tallies.domain, replicas=2) as system:
        [building] = wait_until(lambda: [one for one in system.rebuilds() if one.position == 20])
        shutil.rmtree(store_path / "replicas" / building.replica)
        go_on.set()
        wait_until(lambda: not system.rebuilds() and whole(system))
        assert tallies.ask(system, consistency="strong") == 2
        first, second = tallies.dumps(system)
        assert first == second
