"""Copying a store off the machine all the time, into a folder; and what is left after its loss."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import System, restore
from actors.cli.restore import main as restore_main
from actors.demo.shop import ListProduct, ProductDetails, shop
from actors.runtime import continuous_copy
from actors.runtime.full_copy import FullCopy
from storage.backup import backup_writer
from storage.backup.segment_format import SegmentEnd
from storage.backup.segment_writer import SegmentWriter
from storage.backup.targets import FolderTarget
from tests.faults import put_fault
from tests.forked import Forked
from tests.helpers import PATIENCE, quick_folder, wait_until

ROUNDS = int(os.environ.get("ONEWRITER_CRASH_ROUNDS", "2"))
INTERVAL, BOUND = 0.2, 5.0
"""Seconds between copies, and what a copy may take beside that on a busy machine."""


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as path:
        yield Path(path)


def opened(folder: Path, **settings: object) -> System:
    settings = {"copy_to": folder / "copy", "copy_interval": 0.02, **settings}
    return System.open(folder / "shop", shop, replicas=1, **settings)  # type: ignore[arg-type]


def listed(system: System, *numbers: int) -> None:
    for number in numbers:
        system.execute(ListProduct(f"p-{number}", f"Product {number}", "k", number))


def copied(system: System) -> bool:
    copy = system.health().copy
    return copy is not None and copy.files > 0 and copy.lag == 0 and copy.last_error is None


def test_what_is_committed_is_copied_and_restored(folder: Path) -> None:
    with opened(folder) as system:
        listed(system, 1, 2)
        wait_until(lambda: copied(system))
        listed(system, 3)
        wait_until(lambda: copied(system))
        health = system.health()
        assert health.status == "ok"
        assert health.copy is not None
        assert (health.copy.to, health.copy.position) == (str(folder / "copy"), 3)
    shutil.rmtree(folder / "shop")
    assert restore(folder / "copy", folder / "again").position == 3


def test_closing_copies_the_last_commits(folder: Path) -> None:
    with opened(folder, copy_interval=1000.0) as system:
        wait_until(lambda: copied(system))
        listed(system, 1, 2, 3)
    assert restore(folder / "copy", folder / "again").position == 3
    with opened(folder, copy_interval=1000.0) as system:
        listed(system, 4)
    assert [name[9:13] for name in sorted(os.listdir(folder / "copy"))].count("full") == 1


def test_old_copies_are_removed(folder: Path) -> None:
    with opened(folder, copy_full_every=0.001, copy_keep=2) as system:
        for number in range(1, 7):
            listed(system, number)
            wait_until(lambda: copied(system))
    assert sum("full" in one for one in os.listdir(folder / "copy")) == 2
    assert restore(folder / "copy", folder / "again").position == 6


def fulls(folder: Path) -> int:
    return sum("full" in one and not one.endswith(".partial") for one in os.listdir(folder / "copy"))


def test_increments_go_on_while_a_full_backup_is_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, go_on = threading.Event(), threading.Event()
    write_end = SegmentWriter.end

    def held(writer: SegmentWriter, end: SegmentEnd) -> None:
        if threading.current_thread().name == "onewriter-full-copy":
            reached.set()
            assert go_on.wait(PATIENCE)
        write_end(writer, end)

    monkeypatch.setattr(SegmentWriter, "end", held)
    with opened(folder, copy_full_every=0.001) as system:
        listed(system, 1)
        wait_until(lambda: copied(system))
        listed(system, 2)
        wait_until(reached.is_set)
        for number in (3, 4, 5):
            listed(system, number)
            wait_until(lambda: copied(system))
        assert fulls(folder) == 1
        assert restore(folder / "copy", folder / "meanwhile").position == 5
        go_on.set()
        wait_until(lambda: fulls(folder) > 1)
        listed(system, 6)
    assert restore(folder / "copy", folder / "again").position == 6


def test_a_full_backup_that_fails_holds_up_nothing_and_is_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(continuous_copy, "FIRST_RETRY", 0.01)
    put_fault(monkeypatch, FolderTarget, "take_full_of", lambda: OSError("no room for all of it"))
    with opened(folder, copy_full_every=0.001) as system:
        listed(system, 1)
        wait_until(lambda: system.health().copy.files > 0)  # type: ignore[union-attr]
        listed(system, 2)
        wait_until(lambda: "no room" in (system.health().copy.last_error or ""))  # type: ignore[union-attr]
        listed(system, 3)
        wait_until(lambda: system.health().copy.lag == 0)  # type: ignore[union-attr]

        def listed_until_it_is_made() -> bool:
            listed(system, system.health().position + 1)
            return fulls(folder) > 1 and copied(system)

        wait_until(listed_until_it_is_made)


def test_closing_drops_a_full_backup_that_is_being_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_writer, "LEFT", 0)
    progress = FullCopy._progress
    reached = threading.Event()

    def held(full: FullCopy, position: int, last: int) -> None:
        reached.set()
        wait_until(full._stopping)
        progress(full, position, last)

    monkeypatch.setattr(FullCopy, "_progress", held)
    with opened(folder, copy_full_every=0.001) as system:
        listed(system, 1)
        wait_until(lambda: copied(system))
        listed(system, 2)
        wait_until(reached.is_set)
        listed(system, 3)
    assert fulls(folder) == 1
    assert not [one for one in os.listdir(folder / "copy") if one.endswith(".partial")]
    assert restore(folder / "copy", folder / "again").position == 3


def test_a_place_that_is_away_holds_up_nothing_and_is_caught_up_with(folder: Path) -> None:
    (folder / "mount").write_bytes(b"")
    with opened(folder, copy_to=folder / "mount" / "copy", copy_limit=0.05) as system:
        listed(system, 1, 2, 3)
        wait_until(lambda: any("is 3 positions" in one for one in system.health().problems))
        copy = system.health().copy
        assert copy is not None
        assert copy.last_error
        assert (copy.lag, copy.position) == (3, 0)
        (folder / "mount").unlink()
        wait_until(lambda: copied(system))
        assert system.health().status == "ok"


def test_a_copy_of_a_store_leaves_the_set_of_its_original_alone(folder: Path) -> None:
    with opened(folder) as system:
        listed(system, 1)
    before = sorted(os.listdir(folder / "copy"))
    shutil.copytree(folder / "shop", folder / "clone")
    with System.open(folder / "clone", shop, replicas=1, copy_to=folder / "copy") as clone:
        listed(clone, 2)
        wait_until(lambda: any("adopt it" in one for one in clone.health().problems))
    assert sorted(os.listdir(folder / "copy")) == before
    with System.open(folder / "clone", shop, replicas=1, copy_to=folder / "copy", managers=True) as clone:
        wait_until(lambda: copied(clone))


def test_the_set_of_another_store_is_refused(folder: Path) -> None:
    with System.open(folder / "other", shop, replicas=1, copy_to=folder / "copy") as other:
        listed(other, 1)
    before = sorted(os.listdir(folder / "copy"))
    with opened(folder, copy_limit=0.01) as system:
        listed(system, 2)
        wait_until(lambda: any("of another store" in one for one in system.health().problems))
    assert sorted(os.listdir(folder / "copy")) == before


@pytest.mark.parametrize(
    "settings",
    [
        {"copy_interval": 0},
        {"copy_full_every": -1},
        {"copy_keep": 0},
        {"copy_to": ""},
        {"mode": "read"},
        {"copy_to": "s3://"},
        {"copy_to": "s3://bucket/prefix?colour=blue"},
    ],
)
def test_bad_settings_are_refused(folder: Path, settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"copy_|s3://"):
        opened(folder, **settings)


def test_a_restore_says_what_is_missing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(folder) as system:
        listed(system, 1, 2)
    source = str(folder / "copy")
    assert restore_main([source, str(folder / "a"), "--expect", "5,2999-01-01T00:00:00Z"]) == 3
    assert "MISSING: 3 positions, from 3 on" in capsys.readouterr().out
    assert restore_main([source, str(folder / "b"), "--expect", "2"]) == 0
    assert "nothing of what was expected is missing" in capsys.readouterr().out


@pytest.mark.kill
def test_after_a_kill_and_the_loss_of_the_disk(folder: Path) -> None:
    """A child is killed and its store removed; the copy ends within the interval before the last commit.

    Full backups are made all the time, beside the increments.
    """
    chance = random.Random(14)
    for number in range(ROUNDS):
        store, copy = folder / f"shop-{number}", folder / f"copy-{number}"
        child = Forked("tests.system.copy_child", str(store), str(copy), str(INTERVAL), str(INTERVAL))
        done: dict[int, float] = {}
        wanted = chance.uniform(0.2, 1.5)
        began = None
        for line in child.stdout:
            position, when = line.split()
            done[int(position)] = float(when)
            began = began or float(when)
            if float(when) - began > wanted and list(copy.glob("*.backup")):
                break
        child.kill()
        for line in child.stdout.read().splitlines()[:-1]:
            position, when = line.split()
            done[int(position)] = float(when)
        child.close()
        shutil.rmtree(store)
        again = folder / f"again-{number}"
        restored = restore(copy, again)
        last = max(done)
        lost = done[last] - done.get(restored.position, began or 0.0) if restored.position < last else 0.0
        print(f"acknowledged {last}, restored {restored.position}, missing: {lost:.3f} s")
        assert lost <= INTERVAL + BOUND
        with System.open(again, shop, replicas=1) as system:
            assert system.health().position == restored.position
            for one in range(1, restored.position + 1):
                found = system.query(ProductDetails(f"p-{one}"), consistency="strong")
                assert (found["name"], found["price"]) == (f"Product {one}", one)
            assert system.query(ProductDetails(f"p-{restored.position + 1}"), consistency="strong") is None
