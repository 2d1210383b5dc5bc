"""An opening that runs out of something says of what, and opens once there is enough: nothing of it stays
behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pykka
import pytest

from actors import LimitReached, NotAStore, StorageError, StoreReadOnly, System
from actors.kernel.actor import SupervisedActor
from actors.kernel.mailbox import Mailbox
from storage import Codec, EventLog, ReplicaStore
from storage.files.environment import make_directory
from storage.files.error_translation import from_system
from storage.files.stop_mark import current_boot_id
from storage.replica.files import read_state
from tests.system.shelves import shelves

PROJECT = Path(__file__).parents[2]


def outcomes(what: str, path: Path, *more: str) -> list[str]:
    """What openings in a process with less and less of a want came to."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.system.limits_child", what, str(path), *more],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert child.returncode == 0, child.stderr[-2000:]
    return child.stdout.splitlines()


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_with_too_few_files_every_opening_says_so_until_there_are_enough(store_path, workers) -> None:
    *short, enough, after = outcomes("open_files", store_path, workers)
    assert enough == after == "opened"
    assert len(short) > 8
    for one in short:
        assert one.startswith("LimitReached: "), one
        assert "as many files open as it may" in one
        assert "ulimit -n" in one
        assert "another path" not in one


def test_with_too_few_threads_every_opening_says_so_until_there_are_enough(store_path) -> None:
    first, *short, enough, after = outcomes("threads", store_path)
    assert first == enough == after == "opened"
    assert short
    for one in short:
        assert one.startswith("LimitReached: no thread can be had for actor "), one
        assert "ulimit -u" in one


def test_an_actor_without_a_thread_is_not_among_the_running_ones(monkeypatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    ended: list[object] = []
    # Its name since Python 3.13.
    start = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"
    monkeypatch.setattr(threading, start, none)
    with pytest.raises(LimitReached, match="no thread can be had for actor hand"):
        SupervisedActor.start("hand", Mailbox(), lambda *news: ended.append(news))
    assert pykka.ActorRegistry.get_all() == []
    assert ended == []

    class Plain(pykka.ThreadingActor):
        use_daemon_thread = True

    with pytest.raises(RuntimeError, match="can't start"):
        Plain.start()
    [left] = pykka.ActorRegistry.get_all()
    pykka.ActorRegistry.unregister(left)


def test_a_replica_is_not_begun_anew_for_want_of_a_file(tmp_path, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Path, "read_text", full)
    with pytest.raises(LimitReached, match="state of the replica at"):
        read_state(tmp_path)
    with pytest.raises(OSError, match="Too many"):
        current_boot_id()
    with pytest.raises(LimitReached, match="r cannot be opened: Too many open files"):
        ReplicaStore.open(tmp_path / "r", [], Codec(), history_id="1" * 32, log_head=0)


def test_links_that_lead_round_in_a_circle_are_told_of(tmp_path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(StorageError, match="form a loop; fix the link"):
        System.open(tmp_path / "a" / "store", shelves)


def test_a_name_that_is_too_long_is_told_of(tmp_path) -> None:
    with pytest.raises(StorageError, match="longer than the file system takes; choose a shorter path"):
        System.open(tmp_path / ("x" * 300), shelves)


def test_a_file_above_the_store_is_told_of(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((StorageError, NotAStore), match="a part of its path is a file"):
        System.open(tmp_path / "file" / "store", shelves)


def test_a_program_whose_own_directory_is_gone_is_told_so(tmp_path, monkeypatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(StorageError, match=r"the directory that the program runs in: .*absolute path"):
        System.open("store", shelves)


@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (11, LimitReached, "threads and processes"),
        (12, LimitReached, "no memory left"),
        (13, StoreReadOnly, "who may enter the directories above it"),
        (24, LimitReached, "ulimit -n"),
        (40, StorageError, "loop"),
        (5, StorageError, "the disk fails"),
    ],
)
def test_each_cause_has_an_advice_of_its_own(number, kind, said) -> None:
    error = from_system(
        OSError(number, os.strerror(number)), "it cannot be opened", "/", "choose another path"
    )
    assert type(error) is kind
    assert said in str(error)
    assert "choose another path" not in str(error)


def synced(monkeypatch) -> list[str]:
    """The paths of what is brought to the disk from now on."""
    paths: list[str] = []
    fsync = os.fsync

    def noted(number: int) -> None:
        paths.append(os.readlink(f"/proc/self/fd/{number}"))
        fsync(number)

    monkeypatch.setattr(os, "fsync", noted)
    return paths


def test_every_directory_that_a_new_store_makes_is_on_disk_with_its_entry(tmp_path, monkeypatch) -> None:
    paths = synced(monkeypatch)
    EventLog.open(tmp_path / "a" / "b" / "store", Codec()).close()
    for one in (tmp_path, tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "store"):
        assert str(one) in paths


def test_what_was_there_before_is_not_brought_to_the_disk_again(tmp_path, monkeypatch) -> None:
    paths = synced(monkeypatch)
    make_directory(tmp_path)
    assert paths == []


def test_many_stores_open_at_once_where_maps_of_half_the_rest_would_leave_no_room(tmp_path) -> None:
    # 64 GiB of address space: halving what is left at each opening would end at the fourth store.
    assert outcomes_of_many(tmp_path / "fit", 12, 64) == ["12 open, 12 answers, 1 of them different"]


def test_the_store_that_no_longer_fits_says_which_limit_it_met_and_the_others_work(tmp_path) -> None:
    refused, rest = outcomes_of_many(tmp_path / "full", 12, 8)
    assert refused.startswith("store ")
    assert "no address space is left" in refused
    assert "8,589,934,592 bytes are used" in refused
    assert "ulimit -v" in refused
    opened = int(rest.split()[0])
    assert 1 <= opened < 12
    assert rest == f"{opened} open, {opened} answers, 1 of them different"


def outcomes_of_many(path: Path, count: int, gib: int) -> list[str]:
    child = subprocess.run(
        [sys.executable, "-m", "tests.system.many_stores_child", str(path), str(count), str(gib)],
        cwd=PROJECT,
        # With arenas of malloc for each thread, the limit would be met at another point each time.
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert child.returncode == 0, child.stderr[-2000:]
    return child.stdout.splitlines()
