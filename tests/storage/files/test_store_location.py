"""From where a store was and where it is follows whether it is a copy."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from storage.files import store_location
from storage.files.birth_time import birth_time_ns
from storage.files.store_location import DEPLOYMENT, StoreLocation, copied_because

HERE = StoreLocation("/data/shop", 12, 1_700, 99, "boot", "machine", "hardware", "instance", "")


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({}, {}),
        # a reboot, with the devices in another order
        ({}, {"boot": "other", "file_system": 98}),
        # a renamed folder, a volume that is mounted elsewhere
        ({}, {"path": "/data/store"}),
        # a new image of a container with the same volume: another machine id, or none
        ({"hardware": "", "instance": ""}, {"machine": "other"}),
        ({"hardware": "", "instance": ""}, {"machine": "", "boot": "other"}),
        ({"machine": "", "hardware": "", "instance": ""}, {"machine": "other", "boot": "other"}),
        # a reinstalled system on the same machine
        ({}, {"machine": "other", "boot": "other"}),
        # a network file system that numbers its files anew
        ({}, {"inode": 13}),
        # a file system without birth times
        ({"born": None}, {"born": None, "boot": "other"}),
        ({"born": None}, {"born": None, "path": "/data/store"}),
        ({"born": None}, {}),
        # the variable is set for the first time; a volume that moves between machines within its deployment
        ({}, {"deployment": "production"}),
        ({"deployment": "production"}, {"deployment": "production", "hardware": "other", "boot": "other"}),
    ],
)
def test_it_is_the_same_store(before: Any, now: Any) -> None:
    first = HERE._replace(**before)
    assert copied_because(first, first._replace(**now)) is None


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        ({}, {"inode": 13, "born": 1_800, "path": "/data/copy"}, "another file"),
        ({}, {"born": 1_800}, "another file"),
        ({}, {"inode": 13, "path": "/data/copy"}, "another file"),
        # a snapshot of a file system, mounted beside it
        ({}, {"path": "/snapshots/1", "file_system": 98}, "another file"),
        ({"born": None}, {"born": None, "inode": 13}, "another file"),
        ({"born": None}, {"born": None, "path": "/copy", "file_system": 98}, "another file"),
        # a virtual machine that was started from a snapshot of the disk
        ({}, {"hardware": "other"}, "another machine"),
        ({}, {"instance": "other"}, "another machine"),
        ({"hardware": "", "instance": ""}, {"machine": "other", "boot": "other"}, "another machine"),
        ({"deployment": "production"}, {"deployment": "staging"}, "belongs to deployment production"),
        ({"deployment": "production"}, {"deployment": ""}, "the variable is not set"),
        # the name of the deployment is no excuse for another file
        ({"deployment": "p"}, {"deployment": "p", "born": 1_800}, "another file"),
    ],
)
def test_it_is_a_copy(before: Any, now: Any, reason: str) -> None:
    first = HERE._replace(**before)
    found = copied_because(first, first._replace(**now))
    assert found is not None
    assert reason in found


def test_what_is_not_known_now_is_kept() -> None:
    now = HERE._replace(hardware="", machine="", instance="", born=None, boot="other")
    assert now.keeping(HERE) == HERE._replace(boot="other")


# -- real files ----------------------------------------------------------------------------------------------
@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    path.mkdir()
    (path / "data.mdb").write_bytes(b"x")
    return path


def same(before: StoreLocation, path: Path) -> bool:
    return copied_because(before, StoreLocation.of(path)) is None


def test_a_copy_of_a_directory_is_a_copy_and_a_renamed_one_is_not(store: Path, tmp_path: Path) -> None:
    before = StoreLocation.of(store)
    copy, renamed = tmp_path / "copy", tmp_path / "renamed"
    subprocess.run(["cp", "-a", store, copy], check=True)
    assert not same(before, copy)
    os.chmod(store / "data.mdb", 0o600)
    (store / "data.mdb").write_bytes(b"longer")
    store.rename(renamed)
    assert same(before, renamed)
    copy.rename(store)
    assert not same(before, store)


def test_a_link_to_it_is_the_same_store(store: Path, tmp_path: Path) -> None:
    before = StoreLocation.of(store)
    (tmp_path / "link").symlink_to(store)
    assert StoreLocation.of(tmp_path / "link") == before


def test_a_clone_beside_its_original_is_a_copy(store: Path, tmp_path: Path) -> None:
    original, other = StoreLocation.of(store), tmp_path / "other"
    shutil.copytree(store, other)
    # As it is with a clone of the file system: the same number and birth time, on another device.
    clone = StoreLocation.of(other)._replace(inode=original.inode, born=original.born)
    found = copied_because(original, clone)
    assert found is not None
    assert "still at" in found


def test_ids_of_machines_are_read_and_not_shown(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {name: tmp_path / name for name in ("machine", "hardware", "instance")}
    monkeypatch.setattr(store_location, "_MACHINE_ID", (tmp_path / "missing", files["machine"]))
    monkeypatch.setattr(store_location, "_HARDWARE", (files["hardware"],))
    monkeypatch.setattr(store_location, "_INSTANCE", (files["instance"],))
    monkeypatch.setenv(DEPLOYMENT, "production")
    files["machine"].write_text("3d1219c7\n")
    files["hardware"].write_text("")
    found = StoreLocation.of(store)
    assert (found.hardware, found.instance, found.deployment) == ("", "", "production")
    assert len(found.machine) == 16
    assert found.machine != "3d1219c7"
    files["machine"].write_text("another")
    assert StoreLocation.of(store).machine != found.machine


def test_a_birth_time_is_kept_by_what_changes_a_file_and_not_by_what_copies_it(tmp_path: Path) -> None:
    file, copy = tmp_path / "file", tmp_path / "copy"
    assert birth_time_ns(file) is None
    file.write_text("x")
    born = birth_time_ns(file)
    if born is None:
        pytest.skip("this file system has no birth times")
    assert abs(born - file.stat().st_mtime_ns) < 10**9
    file.write_text("longer")
    os.utime(file, (1, 1))
    assert birth_time_ns(file) == born
    subprocess.run(["cp", "-a", file, copy], check=True)
    assert copy.stat().st_mtime_ns == file.stat().st_mtime_ns
    assert birth_time_ns(copy) != born
