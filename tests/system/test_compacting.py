"""After forgetting and compacting, no file has a piece of what was forgotten."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import StoreLocked, System
from actors.__main__ import main
from actors.runtime.compaction import compact_store
from storage.crypto.key_store import KeyStore
from storage.crypto.master_key import load_master_key, new_key_file
from storage.files import rewriting
from tests.forked import Forked
from tests.helpers import Threads, quick_folder, wait_until
from tests.system.leavers import AtDoor, Found, Join, StoryOf, Visit, club, rows, search

SUBJECTS = int(os.environ.get("FORGOTTEN_SUBJECTS", "100"))
PIECE = re.compile(rb"[-<]([0-9]{5})[-:]")
"""The least of a value that shows whose it was, wherever a page ends. A long story has 900 of it."""


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as name:
        new_key_file(f"{name}/master")
        yield Path(name)


def opened(folder: Path, **settings: Any) -> System:
    given = {"replicas": 2, "map_size": 1 << 30, "master_key": folder / "master", **settings}
    return System.open(folder / "store", club, **given)


def name_of(number: int) -> str:
    return f"Zephaniah-{number:05}-Quillfeather"


def story_of(number: int) -> str:
    """Some are longer than a page of LMDB."""
    return "".join(f"<{number:05}:{part:05}>" for part in range(900 if number % 10 == 0 else 5))


def files_with(folder: Path, numbers: range) -> set[str]:
    """All files with any piece of a value that shows to which of these people it belonged."""
    found = set()
    for file in folder.rglob("*"):
        if file.is_file() and any(int(one) in numbers for one in PIECE.findall(file.read_bytes())):
            found.add(str(file.relative_to(folder)))
    return found


def load(system: System, first: int, last: int) -> None:
    system.execute_many([Join(f"m{one}", name_of(one), story_of(one)) for one in range(first, last)])
    for _ in range(4):
        system.execute_many([Visit(f"m{one}") for one in range(first, last)])


def test_the_bytes_of_a_hundred_people_are_in_no_file_after_forgetting_and_compacting(folder: Path) -> None:
    stayed = range(SUBJECTS, SUBJECTS + 20)
    with opened(folder) as system, Threads() as threads:
        load(system, 0, SUBJECTS + 20)
        for number in (0, 1, SUBJECTS):
            assert system.query(StoryOf(f"m{number}"), consistency="strong") == story_of(number)
        wait_until(lambda: len(system.effects("greeting")) == SUBJECTS + 20)
        done = []

        def go_on(thread: int) -> None:
            number = 0
            while not done:
                number += 1
                system.execute(Visit(f"m{(thread * 7 + number) % (SUBJECTS + 20)}"))
                system.execute(Join(f"m{SUBJECTS + number % 20}", name_of(SUBJECTS + number % 20), "x"))
                system.query(StoryOf(f"m{number % (SUBJECTS + 20)}"))

        for thread in range(2):
            threads.start(go_on, thread)
        for first in range(0, SUBJECTS, SUBJECTS // 2):
            system.forget([f"m{one}" for one in range(first, first + SUBJECTS // 2)])
        done.append(True)
        for model in (rows, search):
            system.wait_rebuilt(model, timeout=60)
        assert system.query(StoryOf("m0"), consistency="strong") == "[forgotten]"
        assert system.query(Found("m1"), consistency="strong") == "[forgotten]"
        assert system.query(Found(f"m{SUBJECTS}"), consistency="strong") == name_of(SUBJECTS)
    with opened(folder, managers=False):
        pass  # fills the inline model again
    forgotten = range(SUBJECTS)
    before = files_with(folder, forgotten)
    assert "store/data.mdb" in before, "free pages of the log have snapshots and rows of inline models"
    assert "store/replicas/replica-1/data.mdb" in before, "free pages of a replica have rows"
    compact_store(folder / "store")
    assert files_with(folder, forgotten) == set()
    assert files_with(folder, stayed) == {"store/data.mdb"}, "inline rows of those who stay"
    with opened(folder, managers=False) as system:
        assert system.health().problems == ()
        assert system.health().copied is None, "it is not taken for a copy"
        assert system.query(StoryOf("m0"), consistency="strong") == "[forgotten]"
        assert system.query(AtDoor("m5")) == "[forgotten]"
        for number in stayed:
            assert system.query(AtDoor(f"m{number}")) == name_of(number)
            assert system.query(Found(f"m{number}"), consistency="strong") == name_of(number)
        assert system.verify_log().findings == []
        assert system.execute(Visit("m0")).version > 5
    assert files_with(folder, forgotten) == set()


def test_compacting_from_a_shell_makes_the_file_small(folder: Path, capsys: Any) -> None:
    with opened(folder, managers=False) as system:
        load(system, 0, 30)
        system.forget([f"m{one}" for one in range(30)])
    with opened(folder, managers=False):
        pass
    before = (folder / "store/data.mdb").stat().st_size
    assert main(["compact", str(folder / "store"), "--json"]) == 0
    assert f'"bytes_before":{before}' in capsys.readouterr().out.replace(" ", "")
    assert (folder / "store/data.mdb").stat().st_size < before
    assert not (folder / "store/replicas").exists()
    assert main(["compact", str(folder / "store")]) == 0
    assert "replicas of 0 bytes are removed" in capsys.readouterr().out
    assert main(["verify", str(folder / "store")]) == 0


@pytest.mark.parametrize("mode", ["write", "read"])
def test_a_store_that_is_open_is_left_alone(folder: Path, mode: str) -> None:
    with opened(folder, managers=False) as system:
        load(system, 0, 3)
    program = (
        "import sys; from actors import System; from tests.system.leavers import club\n"
        f"with System.open(sys.argv[1], club, replicas=1, mode={mode!r}, master_key=sys.argv[2],\n"
        "                 map_size=1 << 30) as system:\n"
        "    print('open', flush=True); sys.stdin.readline()\n"
    )
    arguments = [str(folder / "store"), str(folder / "master")]
    with Forked("-c", program, *arguments, stdin=True) as child:
        assert child.stdout.readline() == "open\n"
        with pytest.raises(StoreLocked, match=r"open for (reading|writing)"):
            compact_store(folder / "store")
    compact_store(folder / "store")


@pytest.mark.parametrize("step", ["copied", "replaced"])
def test_a_process_that_dies_while_it_compacts_leaves_a_whole_store(
    folder: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(folder, managers=False) as system:
        load(system, 0, 10)
        system.forget([f"m{one}" for one in range(10)])
    erase = rewriting.erase_file
    calls = []

    def dies(path: Path, *rest: Any) -> None:
        calls.append(path.exists())
        if len(calls) == (1 if step == "copied" else 2):
            raise KeyboardInterrupt
        erase(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(rewriting, "erase_file", dies)
        with pytest.raises(KeyboardInterrupt):
            compact_store(folder / "store")
    with opened(folder, managers=False) as system:
        assert system.health().copied is None
        assert system.query(StoryOf("m0"), consistency="strong") == "[forgotten]"
    compact_store(folder / "store")
    assert files_with(folder, range(10)) == set()
    assert sorted(one.name for one in (folder / "store").iterdir() if "mdb" in one.name) == [
        "data.mdb",
        "lock.mdb",
    ]


def test_nothing_is_compacted_while_the_key_store_is_not_found(folder: Path, capsys: Any) -> None:
    with opened(folder, managers=False) as system:
        load(system, 0, 3)
        system.forget("m1", wait=True)
    store, elsewhere = str(folder / "store"), str(folder / "elsewhere")
    os.rename(folder / "store/keys", elsewhere)
    before = (folder / "store/data.mdb").read_bytes()
    for wrong in ([], ["--keys-path", str(folder / "nowhere")]):
        assert main(["compact", store, *wrong]) == 1
        assert "KeysUnavailable: there is no key store at " in capsys.readouterr().err
    assert (folder / "store/data.mdb").read_bytes() == before
    assert main(["compact", store, "--keys-path", elsewhere]) == 0


def test_after_a_rotation_no_file_has_what_the_former_master_key_opens(folder: Path, capsys: Any) -> None:
    with opened(folder, managers=False) as system:
        load(system, 0, 3)
    new_key_file(folder / "next")
    keys = folder / "store/keys"
    store = KeyStore.open(keys, load_master_key(folder / "master"), readonly=True)
    entry = store._environment.begin().get(b"store key", db=store._databases["meta"])
    store.close()
    assert bytes(entry) in (keys / "data.mdb").read_bytes()
    arguments = ["--master-key", str(folder / "master"), "--new-master-key", str(folder / "next")]
    assert main(["keys", "rotate", str(folder / "store"), *arguments]) == 0
    assert bytes(entry) not in (keys / "data.mdb").read_bytes()
    with opened(folder, managers=False, master_key=folder / "next") as system:
        assert system.query(StoryOf("m1"), consistency="strong") == story_of(1)
