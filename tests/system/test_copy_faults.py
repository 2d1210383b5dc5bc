"""Backups and the continuous copy where a connection is cut, a program or server is killed, or a disk fills.

The last good backup stays and can be restored, and what is missing follows.

`ONEWRITER_CRASH_ROUNDS` sets the number of rounds (1), `ONEWRITER_CRASH_SEED` the seed, which is printed.
"""

from __future__ import annotations

import errno
import os
import random
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import StorageError, StoreFull, System, restore
from actors.cli.backup import main as backup_main
from actors.cli.verify import main as verify_main
from actors.demo.shop import ListProduct, shop
from actors.runtime import continuous_copy
from storage.backup import backup_set, s3_place
from storage.backup.places import fetched, remote_place
from tests.faults import put_fault
from tests.forked import Forked
from tests.helpers import PATIENCE, quick_folder, wait_until
from tests.system.cutting_proxy import Cut, CuttingProxy
from tests.system.s3_endpoint import BUCKET, credentials, make_bucket, s3_endpoint
from tests.system.small_disk import Disk, small_disk

boto3 = pytest.importorskip("boto3", reason="needs the extra s3")
pytest.importorskip("moto.server", reason="needs moto's server")

ROUNDS = int(os.environ.get("ONEWRITER_CRASH_ROUNDS", "1"))
SEED = int(os.environ.get("ONEWRITER_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
CUTS: tuple[Cut, ...] = (0, 1, 500, "answer")
"""After how many bytes of what is put; the smallest file has some 590."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The URL of a server, with a bucket."""
    with s3_endpoint() as url:
        yield url


@pytest.fixture
def proxy(endpoint: str) -> Iterator[CuttingProxy]:
    with CuttingProxy(endpoint) as proxy:
        yield proxy


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as path:
        yield Path(path)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """One attempt for each call, and no pause before the next copy."""
    monkeypatch.setattr(s3_place, "ATTEMPTS", 1)
    monkeypatch.setattr(continuous_copy, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(continuous_copy, "LONGEST_RETRY", 0.05)


def places(endpoint: str, proxy: CuttingProxy) -> tuple[str, str]:
    """A place, and the same one through the proxy."""
    name = f"s3://{BUCKET}/{uuid.uuid4().hex}?endpoint_url="
    return name + endpoint, name + proxy.url


def opened(folder: Path, **settings: object) -> System:
    settings = {"copy_interval": 0.02, **settings} if "copy_to" in settings else settings
    return System.open(folder / "shop", shop, replicas=1, **settings)  # type: ignore[arg-type]


def listed(system: System, many: int, size: int = 100) -> int:
    """List so many products more; returns the last position."""
    for number in range(system.position + 1, system.position + 1 + many):
        system.execute(ListProduct(f"p-{number}", f"Product {number} {'x' * size}", "k", number))
    return system.position


def copied(system: System) -> bool:
    copy = system.health().copy
    return copy is not None and copy.files > 0 and copy.lag == 0 and copy.last_error is None


def check_restored(system: System, source: str | Path, folder: Path) -> int:
    """Restore a set: it is the beginning of the system's history. Returns where it ends."""
    done = restore(source, folder / f"again-{uuid.uuid4().hex}")
    assert system.verify_log(chain=(done.position, done.chain)).findings == []
    return done.position


# -- a connection --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("cut", "single"), [(1_000, 1 << 20), ("answer", 1 << 20), (1, 1)], ids=["body", "answer", "part"]
)
def test_a_connection_that_is_cut_while_a_backup_is_put_leaves_the_last_good_one(
    cut: Cut,
    single: int,
    folder: Path,
    endpoint: str,
    proxy: CuttingProxy,
    soon: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(s3_place, "SINGLE_BYTES", single)
    direct, through = places(endpoint, proxy)
    with opened(folder) as system:
        good = listed(system, 2)
        system.backup(through)
        last = listed(system, 40)
        before = remote_place(direct).names()
        proxy.cut(cut)
        with pytest.raises(StorageError, match="cannot be written"):
            system.backup(through)
        # All of it may be there, and its answer lost; in parts, that is the answer to the first step.
        whole = cut == "answer" and single > 1
        assert len(remote_place(direct).names()) == len(before) + whole
        assert check_restored(system, direct, folder) == (last if whole else good)
        proxy.cut(None)
        assert not system.backup(through).full
        assert check_restored(system, direct, folder) == last
    assert verify_main([direct]) == 0


def test_an_answer_that_is_lost_is_no_failure_if_the_call_is_repeated(
    folder: Path, endpoint: str, proxy: CuttingProxy
) -> None:
    direct, through = places(endpoint, proxy)
    with opened(folder) as system:
        listed(system, 1)
        proxy.cut("answer", times=1)
        assert system.backup(through).position == 1
        assert proxy.cuts == 1
        assert check_restored(system, direct, folder) == 1


def test_a_copy_over_a_connection_that_is_cut_again_and_again_is_good_at_every_moment(
    folder: Path, endpoint: str, proxy: CuttingProxy, soon: None
) -> None:
    print(f"ONEWRITER_CRASH_SEED={SEED}")
    dice = random.Random(SEED)
    direct, through = places(endpoint, proxy)
    with opened(folder, copy_to=through, copy_full_every=0.5) as system:
        listed(system, 1)
        wait_until(lambda: copied(system))
        for _ in range(4 * ROUNDS):
            before = proxy.cuts
            proxy.cut(dice.choice(CUTS))
            last = listed(system, dice.randint(1, 30))
            wait_until(lambda before=before: proxy.cuts > before)
            assert 0 < check_restored(system, direct, folder) <= last
            proxy.cut(None)
            wait_until(lambda: copied(system))
            assert check_restored(system, direct, folder) == last
    assert verify_main([direct]) == 0


def test_what_is_committed_between_two_attempts_is_copied_though_nothing_follows(
    folder: Path, endpoint: str, proxy: CuttingProxy, soon: None
) -> None:
    direct, through = places(endpoint, proxy)
    with opened(folder, copy_to=through) as system:
        listed(system, 1)
        wait_until(lambda: copied(system))
        proxy.cut(0)
        listed(system, 1)
        wait_until(lambda: proxy.cuts)  # A file that was made waits.
        last = listed(system, 1)
        proxy.cut(None)
        wait_until(lambda: copied(system))
        assert check_restored(system, direct, folder) == last


@pytest.mark.parametrize(
    ("gone", "remote"), [([0], False), ([1], True), ([0, 1, 2], True)], ids=["full", "one between", "all"]
)
def test_a_set_of_which_files_are_gone_is_continued_by_a_full_backup(
    gone: list[int], remote: bool, folder: Path, endpoint: str, proxy: CuttingProxy
) -> None:
    direct = places(endpoint, proxy)[0] if remote else str(folder / "copy")
    with opened(folder, copy_to=direct) as system:
        for _ in range(3):
            listed(system, 1)
            wait_until(lambda: copied(system))
        with fetched(direct, whole=True) as files:
            names = sorted(file.name for file in files.glob("*.backup"))
        for index in gone:
            if remote:
                remote_place(direct).remove(names[index])
            else:
                (folder / "copy" / names[index]).unlink()
        last = listed(system, 1)
        wait_until(lambda: copied(system))
        assert check_restored(system, direct, folder) == last


@pytest.mark.parametrize("remote", [False, True], ids=["folder", "S3"])
def test_a_set_whose_old_files_are_removed_while_it_is_read_is_looked_at_again(
    remote: bool, folder: Path, endpoint: str, proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places(endpoint, proxy)[0] if remote else str(folder / "copy")
    once = threading.Lock()
    with opened(folder) as system:
        for _ in range(2):
            listed(system, 1)
            system.backup(place)
        last = listed(system, 1)
        owner, name = (s3_place.S3Place, "fetch") if remote else (backup_set, "open_segment")
        read = getattr(owner, name)

        def removed_meanwhile(*arguments: Any) -> Any:
            if once.acquire(blocking=False):
                system.backup(place, full=True, keep=1)
            return read(*arguments)

        monkeypatch.setattr(owner, name, removed_meanwhile)
        assert check_restored(system, place, folder) == last
        assert once.locked()


# -- a kill --------------------------------------------------------------------------------------------------
@pytest.mark.kill
def test_a_program_that_is_killed_while_it_puts_something_leaves_the_last_good_backup(
    folder: Path, endpoint: str, proxy: CuttingProxy
) -> None:
    print(f"ONEWRITER_CRASH_SEED={SEED}")
    dice = random.Random(SEED)
    direct, through = places(endpoint, proxy)
    store = str(folder / "shop")
    restored = 0
    for _ in range(2 * ROUNDS):
        acknowledged = 0
        with Forked("tests.system.copy_child", store, through, "0.02") as child:
            before = len(remote_place(direct).names())
            for line in child.stdout:
                acknowledged = int(line.split()[0])
                if proxy.held.is_set():
                    break
                if acknowledged % 20 == 0 and len(remote_place(direct).names()) > before:
                    proxy.hold(dice.choice([0, 1, 500]))
            child.kill()
            proxy.release()
        with opened(folder) as system:
            position = check_restored(system, direct, folder)
            assert restored <= position <= system.position
            assert acknowledged <= system.position
            restored = position
        proxy.hold(dice.choice([0, 1, 500]))
        with Forked("actors", "backup", store, through) as child:
            assert proxy.held.wait(PATIENCE)
            child.kill()
            proxy.release()
        with opened(folder) as system:
            assert check_restored(system, direct, folder) == restored
    assert backup_main([store, through]) == 0
    with opened(folder) as system:
        assert check_restored(system, direct, folder) == system.position
    assert verify_main([direct]) == 0


@pytest.mark.kill
def test_a_server_that_is_killed_and_comes_back_with_nothing_is_filled_again(
    folder: Path, soon: None
) -> None:
    with credentials():
        with Forked("tests.system.s3_endpoint", "0", stdin=True) as server:
            port = int(server.stdout.readline())
            url = f"http://127.0.0.1:{port}"
            place = f"s3://{BUCKET}/shop?endpoint_url={url}"
            make_bucket(url)
            system = opened(folder, copy_to=place)
            listed(system, 5)
            wait_until(lambda: copied(system))
            server.kill()
        with system:
            last = listed(system, 5)
            wait_until(lambda: system.health().copy.last_error)  # type: ignore[union-attr]
            with pytest.raises(StorageError):
                system.backup(place)
            with Forked("tests.system.s3_endpoint", str(port), stdin=True) as server:
                assert int(server.stdout.readline()) == port
                make_bucket(url)
                wait_until(lambda: copied(system))
                assert check_restored(system, place, folder) == last
                system.close()


# -- a disk --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "remote"), [("fsync", False), ("rename", True)], ids=["folder", "S3"])
def test_a_disk_that_fills_while_a_copy_is_made_leaves_the_last_good_one(
    remote: bool,
    name: str,
    folder: Path,
    endpoint: str,
    proxy: CuttingProxy,
    soon: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = places(endpoint, proxy)[0] if remote else folder / "copy"
    full = threading.Event()
    full.set()
    with opened(folder, copy_to=place) as system:
        good = listed(system, 1)
        wait_until(lambda: copied(system))
        put_fault(
            monkeypatch,
            os,
            name,
            lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            times=1 << 30,
            only=lambda *_: full.is_set() and threading.current_thread().name == "onewriter-copy",
        )
        last = listed(system, 1)
        wait_until(lambda: "StoreFull" in str(system.health().copy.last_error))  # type: ignore[union-attr]
        assert check_restored(system, place, folder) == good
        full.clear()
        wait_until(lambda: copied(system))
        assert check_restored(system, place, folder) == last


def test_a_real_disk_that_is_full_leaves_the_last_good_backup(disk: Disk, folder: Path, soon: None) -> None:
    copy, backups = disk.path / "copy", disk.path / "backups"
    with opened(folder, copy_to=copy) as system:
        good = listed(system, 1)
        wait_until(lambda: copied(system))
        system.backup(backups)
        disk.leave(20_000)
        last = listed(system, 200, 150)
        wait_until(lambda: "StoreFull" in str(system.health().copy.last_error))  # type: ignore[union-attr]
        with pytest.raises(StoreFull, match="is full"):
            system.backup(backups)
        assert good <= check_restored(system, copy, folder) < last
        assert check_restored(system, backups, folder) == good
        disk.make_room()
        wait_until(lambda: copied(system))
        assert system.backup(backups).position == last
        for place in (copy, backups):
            assert check_restored(system, place, folder) == last
            assert verify_main([str(place)]) == 0
