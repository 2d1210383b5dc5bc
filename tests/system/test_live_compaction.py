"""The log's file is written anew while commands go on, and whatever happens it is whole."""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import OpenedForReading, StorageError, StoreFull, System
from storage.files import piped_copy
from storage.log import live_compaction
from storage.log.live_compaction import LiveCompaction
from tests import inside
from tests.bank_domain import Deposit, Open, Richest, bank
from tests.forked import Forked
from tests.helpers import PATIENCE, Threads, quick_folder, wait_until

ROUNDS = max(int(os.environ.get("ONEWRITER_CRASH_ROUNDS", "40")) // 10, 3)
SEED = int(os.environ.get("ONEWRITER_CRASH_SEED", random.randrange(1 << 32)))


@pytest.fixture
def store() -> Iterator[Path]:
    with quick_folder() as folder:
        yield Path(folder) / "bank"


def filled(path: Path, events: int = 600) -> System:
    """A store whose log has free pages."""
    system = System.open(path, bank, replicas=1)
    if system.position == 0:
        system.execute(Open("ann"), command_id="open")
        system.execute_many([Deposit("ann", 1) for _ in range(events)])
        bank_notes = [(b"test/%05d" % number, bytes(500)) for number in range(300)]
        inside.put_notes(system, *bank_notes)
        inside.put_notes(system, *((key, None) for key, _ in bank_notes))
    return system


def files(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir() if "data.mdb" in file.name)


def test_commands_and_queries_go_on_while_the_file_becomes_small(store: Path) -> None:
    with filled(store) as system, Threads() as threads:
        kept = system.chain_head()
        before = system.info().log
        done = threading.Event()
        executed = [0] * 3

        def work(thread: int) -> None:
            while not done.is_set():
                executed[thread] += 1
                system.execute(Deposit("ann", 2), command_id=f"{thread}-{executed[thread]}")

        def ask() -> None:
            while not done.is_set():
                assert system.query(Richest(), consistency="strong")[0]["balance"] >= 600
                assert system.stream("account-ann", limit=1)[0].type == "Opened"

        for thread in range(3):
            threads.start(work, thread)
        threads.start(ask)
        wait_until(lambda: min(executed) > 3)
        result = system.compact()
        during = sum(executed)
        wait_until(lambda: min(executed) > 3 + during // 3)
        done.set()
        threads.join()
        assert result.after < result.before - before.free_bytes / 2
        assert 0 < result.waited < result.seconds
        assert result.erased
        system.wait_applied()
        assert system.position == 601 + sum(executed)
        check = system.verify_log(kept)
        assert (check.findings, check.events) == ([], system.position)
        for thread, count in enumerate(executed):
            again = system.execute(Deposit("ann", 2), command_id=f"{thread}-{count}")
            assert again.position <= system.position
        assert system.position == 601 + sum(executed)
        assert system.compact().after <= result.after + (1 << 18)
        assert files(store) == ["data.mdb"]
        inside.log_file(system).check()
        assert system.health().status == "ok"
    with System.open(store, bank, replicas=1) as system:
        assert system.health().copied is None
        assert system.query(Richest())[0]["balance"] == 600 + 2 * sum(executed)


def test_a_reader_in_another_process_opens_the_new_file(store: Path) -> None:
    with (
        filled(store) as system,
        Forked("tests.system.compaction_child", "read", str(store), stdin=True) as child,
    ):
        assert child.stdin is not None

        def asked() -> list[str]:
            child.stdin.write("\n")  # type: ignore[union-attr]
            child.stdin.flush()  # type: ignore[union-attr]
            return child.stdout.readline().split()

        assert child.stdout.readline() == "open\n"
        assert asked() == ["600", "601", "ok"]
        for number in range(1, 4):
            assert not system.compact().erased  # the other process may be reading it
            assert asked() == [str(599 + number), str(600 + number), "ok"]
            system.execute(Deposit("ann", 1))
            assert asked() == [str(600 + number), str(601 + number), "ok"]
        child.stdin.close()
        assert child.wait(PATIENCE) == 0


def test_a_process_that_is_killed_leaves_a_whole_file_with_all_that_was_acknowledged(store: Path) -> None:
    print(f"ONEWRITER_CRASH_SEED={SEED}")
    dice = random.Random(SEED)
    filled(store, 200).close()
    acknowledged: dict[str, int] = {}
    compacted = 0
    for number in range(ROUNDS):
        with Forked("tests.system.compaction_child", "write", str(store), f"r{number}") as child:
            lines = dice.randrange(1, 150)
            said = [child.stdout.readline() for _ in range(lines)]
            timer = threading.Timer(dice.random() * 0.05, child.kill)
            timer.start()
            said += child.stdout.readlines()
            timer.join()
        for line in said:
            name, _, at = line.partition(" ")
            if name == "compacted":
                compacted += 1
            elif at.endswith("\n"):
                acknowledged[name] = int(at)
        with System.open(store, bank, replicas=1) as system:
            assert files(store) == ["data.mdb"]
            assert system.verify_log().findings == []
            log = inside.log(system)
            for name, position in acknowledged.items():
                record = log.command(name)
                assert record is not None, name
                assert record.count == 0 or record.first == position
            assert system.health().copied is None
    assert compacted
    print(f"{ROUNDS} kills, {compacted} compactions, {len(acknowledged)} commands")


def test_without_room_for_the_copy_everything_stays_as_it_was(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled(store) as system:

        def full(_number: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(piped_copy.os, "fdatasync", full)
            patch.setattr(piped_copy, "SYNC_EVERY", 1)
            with pytest.raises(StoreFull, match="cannot be compacted"):
                system.compact()
        assert files(store) == ["data.mdb"]
        assert system.execute(Deposit("ann", 1)).position == 602
        assert system.verify_log().findings == []
        system.compact()


def test_a_read_that_does_not_end_has_it_tried_again_and_then_given_up(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_compaction, "PATIENCE", 0.01)
    monkeypatch.setattr(live_compaction, "BETWEEN", 0.01)
    with filled(store) as system, Threads() as threads:
        log = inside.log(system)
        with log._reading():
            with pytest.raises(StorageError, match="no moment without a long read"):
                system.compact(timeout=0.1)
            assert system.execute(Deposit("ann", 1)).position == 602
        attempts = []
        replace = log.replace_file

        def counted(*given: Any) -> bool:
            attempts.append(1)
            return replace(*given)

        monkeypatch.setattr(log, "replace_file", counted)
        results: list[Any] = []
        with log._reading():
            threads.start(lambda: results.append(system.compact()))
            wait_until(lambda: len(attempts) > 2)
            assert system.execute(Deposit("ann", 1)).position == 603
        threads.join()
        assert len(results) == 1
        assert system.verify_log().findings == []
        assert system.execute(Deposit("ann", 1)).position == 604


def test_a_system_is_closed_while_its_log_is_compacted(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, leave = threading.Event(), threading.Event()
    catch_up = LiveCompaction._catch_up

    def held(self: LiveCompaction, copy: Any) -> float:
        entered.set()
        assert leave.wait(PATIENCE)
        return catch_up(self, copy)

    monkeypatch.setattr(LiveCompaction, "_catch_up", held)
    errors: list[Exception] = []
    with Threads() as threads:
        system = filled(store)

        def compact() -> None:
            try:
                system.compact()
            except Exception as error:
                errors.append(error)

        threads.start(compact)
        assert entered.wait(PATIENCE)
        with pytest.raises(StorageError, match="is being compacted by another call"):
            system.compact()
        began = time.monotonic()
        threads.start(system.close)
        wait_until(lambda: inside.log(system).read_gate.wanted)
        leave.set()
        threads.join()
        assert time.monotonic() - began < PATIENCE
    assert len(errors) == 1
    assert files(store) == ["data.mdb"]
    with System.open(store, bank, replicas=1) as system:
        assert system.position == 601


def test_a_system_that_only_reads_compacts_nothing(store: Path) -> None:
    filled(store, 3).close()
    with System.open(store, bank, replicas=1, mode="read") as system, pytest.raises(OpenedForReading):
        system.compact()
