"""A copy of a store knows that it is one, and does not act on the world until it is told to."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actors import System, UnadoptedCopy
from actors.__main__ import main
from actors.runtime.store_identity import IDENTITY_FILE, KEY, StoreIdentity
from storage.files import store_location
from storage.files.store_location import DEPLOYMENT
from tests import inside
from tests.system.jobs import DELAY, Begin, Nudge, World, jobs_of


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def store(store_path: Path, world: World) -> Path:
    """A store with one timer that waits, and one effect that was delivered."""
    with System.open(store_path, jobs_of(world), replicas=1) as system:
        system.execute(Begin("one"))
        system.wait_process_managers()
    assert len(world.sent) == 1
    return store_path


def copied(store: Path, name: str = "copy") -> Path:
    target = store.with_name(name)
    subprocess.run(["cp", "-a", store, target], check=True)
    return target


def opened(path: Path, world: World, **options: Any) -> System:
    return System.open(path, jobs_of(world), replicas=1, **options)


def is_copy(path: Path, world: World) -> bool:
    """Whether a store takes itself for a copy when it is opened."""
    with opened(path, world) as system:
        health = system.health()
        assert (health.copied is None) == (health.status == "ok")
        return health.copied is not None


def undone(system: System) -> list[str]:
    """Why jobs were undone: timers that fired do that."""
    return [one.event.why for one in system.subscribe(until=system.position, types=["Undone"])]


def identity(path: Path, world: World) -> StoreIdentity:
    with opened(path, world, mode="read") as system:
        found = StoreIdentity.read(inside.log(system))
        assert found is not None
        return found


def test_nothing_fires_on_a_copy_until_it_is_adopted_then_everything_does(
    store: Path, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    copy = copied(store)
    for _ in range(2):  # Opening it is no adoption.
        with caplog.at_level(logging.WARNING, "onewriter"), opened(copy, world) as system:
            system.execute(Nudge("one"))
            inside.advance(system, 2 * DELAY)
            health = system.health()
            assert health.status == "degraded"
            assert [one for one in health.problems if "is a copy" in one]
            assert "does not act on the world" in caplog.text
            assert health.copied is not None
            assert str(store) in health.copied
            for call in (
                system.wait_process_managers,
                lambda: system.consumer("mailer"),
                lambda: system.consume("mailer", print),
            ):
                with pytest.raises(UnadoptedCopy, match=r"managers=True.*onewriter adopt"):
                    call()
            assert undone(system) == []
    assert len(world.sent) == 1
    with opened(copy, world, managers=True) as system:
        system.wait_process_managers()
        assert system.health().status == "ok"
        # One for each nudge; the timer is not due yet.
        assert len(world.sent) == 3
        inside.advance(system, 2 * DELAY)
        system.wait_process_managers()
        assert [one.event.why for one in system.subscribe(until=system.position, types=["Undone"])] == [
            "late"
        ]
        with system.consumer("mailer") as consumer:
            next(consumer).ack()
    assert not is_copy(copy, world)
    was, now = identity(store, world), identity(copy, world)
    assert was.adoptions == ()
    [adoption] = now.adoptions
    assert adoption.former_id == was.id != now.id
    assert "another file" in adoption.reason
    assert not is_copy(store, world)


def test_the_command_adopts_a_copy(store: Path, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    copy = copied(store)
    assert main(["adopt", str(copy)]) == 0
    assert "is a store of its own now: its data.mdb is another file" in capsys.readouterr().out
    assert not is_copy(copy, world)
    assert main(["adopt", str(copy), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["adopted"] is False
    assert len(document["adoptions"]) == 1
    with opened(copy, world):
        assert main(["adopt", str(copy)]) == 1
    assert "StoreLocked" in capsys.readouterr().err
    assert main(["adopt", str(copy.with_name("nothing"))]) == 2
    assert "there is no store at " in capsys.readouterr().err
    assert not copy.with_name("nothing").exists()


def test_told_to_do_nothing_a_copy_is_well(store: Path, world: World) -> None:
    with opened(copied(store), world, managers=False) as system:
        assert system.health().status == "ok"
        assert system.health().copied is not None


def test_a_copy_is_read_as_any_store(store: Path, world: World) -> None:
    with opened(copied(store), world, mode="read") as system:
        assert system.process_manager_state("worker", "one").worked == 1


# -- what is the same store ----------------------------------------------------------------------------------
def test_a_renamed_store_is_the_same(store: Path, world: World) -> None:
    moved = store.with_name("moved")
    store.rename(moved)
    assert not is_copy(moved, world)
    moved.rename(store)
    assert not is_copy(store, world)


def test_one_that_others_own_and_may_read_is_the_same(store: Path, world: World) -> None:
    for file in store.iterdir():
        os.chmod(file, 0o700)
    os.utime(store / "data.mdb")
    assert not is_copy(store, world)


def test_after_a_crash_it_is_the_same(store: Path, world: World) -> None:
    code = (
        "import os, sys; from actors import System; from tests.system.jobs import Begin, jobs_of\n"
        "system = System.open(sys.argv[1], jobs_of(), replicas=1)\n"
        "system.execute(Begin('two')); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(store)], check=True)
    assert not is_copy(store, world)


def test_a_store_without_an_identity_takes_one_as_the_original(store: Path, world: World) -> None:
    with opened(store, world) as system:
        inside.put_notes(system, (KEY, None))
    (store / IDENTITY_FILE).unlink()
    assert not is_copy(store, world)
    assert is_copy(copied(store), world)


def test_without_its_file_it_is_the_same_and_has_one_again(store: Path, world: World) -> None:
    (store / IDENTITY_FILE).unlink()
    assert not is_copy(store, world)
    assert (store / IDENTITY_FILE).exists()


@pytest.mark.parametrize("text", ["", "garbage", "onewriter store\nx\nmany\n"])
def test_a_damaged_file_of_the_identity_is_written_again(store: Path, world: World, text: str) -> None:
    (store / IDENTITY_FILE).write_text(text)
    assert not is_copy(store, world)


# -- what is a copy ------------------------------------------------------------------------------------------
def test_a_copy_that_took_the_originals_path_is_a_copy(store: Path, world: World) -> None:
    copy = copied(store)
    store.rename(store.with_name("old"))
    copy.rename(store)
    assert is_copy(store, world)
    assert not is_copy(store.with_name("old"), world)


def test_a_backup_in_a_new_directory_is_a_copy(store: Path, world: World) -> None:
    restored = store.with_name("restored")
    restored.mkdir()
    shutil.copy(store / "data.mdb", restored)
    assert is_copy(restored, world)


def test_a_log_that_is_restored_in_place_is_a_copy(store: Path, world: World) -> None:
    backup = store.with_name("backup.mdb")
    shutil.copy(store / "data.mdb", backup)
    with opened(store, world) as system:
        system.execute(Nudge("one"))
        system.wait_process_managers()
    sent = len(world.sent)
    inode = (store / "data.mdb").stat().st_ino
    shutil.copyfile(backup, store / "data.mdb")
    assert (store / "data.mdb").stat().st_ino == inode
    with opened(store, world) as system:
        assert system.health().copied is not None
        assert "was restored" in system.health().copied
        inside.advance(system, 2 * DELAY)
    assert len(world.sent) == sent


def test_a_log_of_the_same_opening_that_is_restored_in_place_is_a_copy(store: Path, world: World) -> None:
    backup = store.with_name("backup")
    with opened(store, world) as system:
        command = [sys.executable, "-m", "lmdb", "-e", str(store), "copy", "-c", str(backup)]
        subprocess.run(command, check=True, capture_output=True)
        system.execute(Nudge("one"))
        system.wait_process_managers()
    shutil.copyfile(backup / "data.mdb", store / "data.mdb")
    assert is_copy(store, world)


def test_a_clone_of_the_machine_is_a_copy_and_a_new_image_of_its_container_is_not(
    store: Path, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hardware, machine = tmp_path / "product_uuid", tmp_path / "machine-id"
    monkeypatch.setattr(store_location, "_HARDWARE", (hardware,))
    monkeypatch.setattr(store_location, "_MACHINE_ID", (machine,))
    machine.write_text("first image")
    assert not is_copy(store, world)
    machine.write_text("second image")
    assert not is_copy(store, world)
    hardware.write_text("this machine")
    assert not is_copy(store, world)
    hardware.write_text("its clone")
    assert is_copy(store, world)
    hardware.unlink()
    assert not is_copy(store, world)


def test_another_deployment_is_a_copy(store: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEPLOYMENT, "production")
    assert not is_copy(store, world)
    monkeypatch.setenv(DEPLOYMENT, "staging")
    assert is_copy(store, world)
    monkeypatch.delenv(DEPLOYMENT)
    assert is_copy(store, world)
    monkeypatch.setenv(DEPLOYMENT, "production")
    assert not is_copy(store, world)
