"""Files are checked before LMDB maps them: after an unclean end, and without risk to the process.

Files that LMDB may open get damage that does not matter to LMDB itself, which never reads the depth of a
tree.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import struct
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import lmdb
import pytest
from lmdb.verify import VerifyError, verify

import storage.files.open_store
from storage.codec.codec import Codec
from storage.errors import DamagedStore, NotAStore
from storage.files.environment import open_environment
from storage.files.page_check import find_all_problems, find_first_problem, find_problems
from storage.files.stop_mark import StopMark, current_boot_id
from storage.log.event_log import EventLog
from storage.replica.replica_store import ReplicaStore
from tests import preloaded
from tests.storage.replica.replica_process import TABLES, apply

PAGE = 4096
DEPTH, LAST_TRANSACTION = 94, 144  # in a meta page


def misjudge(file: Path) -> None:
    """Make the newest meta page give the tree of databases one level too many, which LMDB never reads."""
    data = bytearray(file.read_bytes())
    newest = max((0, PAGE), key=lambda at: struct.unpack_from("=Q", data, at + LAST_TRANSACTION)[0])
    data[newest + DEPTH] += 1
    file.write_bytes(bytes(data))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were checked."""
    found: list[Path] = []

    def noted(file: Path, limit: int) -> list[str]:
        found.append(file)
        return find_problems(file, limit)

    monkeypatch.setattr(storage.files.open_store, "find_problems", noted)
    return found


def opened(path: Path, **options: Any) -> EventLog:
    return EventLog.open(path, Codec(), map_size=1 << 24, **options)


def mark(path: Path) -> StopMark:
    found = StopMark.read((path / "LOCK").read_text())
    assert found is not None
    return found


def set_mark(path: Path, change: Callable[[str], str]) -> None:
    holder, line, _ = (path / "LOCK").read_text().split("\n")
    (path / "LOCK").write_text(f"{holder}\n{change(line)}\n")


# -- when ----------------------------------------------------------------------------------------------------
def test_after_a_clean_end_nothing_is_looked_at(store_path: Path, looks: list[Path]) -> None:
    for _ in range(3):
        with opened(store_path):
            assert mark(store_path).state == "open"
        assert mark(store_path) == StopMark("closed", 0, current_boot_id())
    assert looks == []


DIE = """
import os, signal, sys
from storage import Codec, EventLog
from storage.log.event_log import EventLog as Log
if sys.argv[2] == "opening":
    import storage.files.open_store
    storage.files.open_store.open_environment = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
log = EventLog.open(sys.argv[1], Codec(), map_size=1 << 24)
os.kill(os.getpid(), signal.SIGKILL)
"""


def die(path: Path, when: str) -> None:
    ended = preloaded.run(["-c", DIE, str(path), when], preloaded.ROOT)
    assert ended.returncode == -signal.SIGKILL


def test_an_opening_that_did_not_come_to_its_end_has_the_next_one_look(
    store_path: Path, looks: list[Path]
) -> None:
    opened(store_path).close()
    die(store_path, "opening")
    assert mark(store_path).state == "opening"
    with opened(store_path):
        assert looks == [store_path / "data.mdb"]
    with opened(store_path):
        assert len(looks) == 1


def test_a_process_that_was_killed_leaves_good_files_and_two_in_a_row_leave_doubt(
    store_path: Path, looks: list[Path]
) -> None:
    die(store_path, "open")
    opened(store_path).close()
    assert looks == []
    for _ in range(2):
        die(store_path, "open")
    with opened(store_path):
        assert len(looks) == 1


def test_another_boot_of_the_machine_has_the_log_looked_at(store_path: Path, looks: list[Path]) -> None:
    die(store_path, "open")
    set_mark(store_path, lambda line: line.replace(current_boot_id()[:8], "01234567"))
    opened(store_path).close()
    assert len(looks) == 1


def test_files_that_were_put_there_are_looked_at_once(tmp_path: Path, looks: list[Path]) -> None:
    opened(tmp_path / "log").close()
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / "log" / "data.mdb", tmp_path / "copy")
    opened(tmp_path / "copy").close()
    opened(tmp_path / "copy").close()
    assert len(looks) == 1


def test_a_lock_file_of_an_earlier_version_is_no_reason(store_path: Path, looks: list[Path]) -> None:
    opened(store_path).close()
    (store_path / "LOCK").write_text("process 1 on host, program x, since 2026-01-01\n")
    opened(store_path).close()
    assert looks == []
    assert mark(store_path).state == "closed"


def test_an_opening_that_fails_leaves_the_doubt_that_there_was(store_path: Path, looks: list[Path]) -> None:
    opened(store_path).close()
    set_mark(store_path, lambda line: line.replace("closed ", "opening"))
    before = (store_path / "LOCK").read_bytes()
    misjudge(store_path / "data.mdb")
    for turn in (1, 2):
        with pytest.raises(DamagedStore):
            opened(store_path)
        assert (store_path / "LOCK").read_bytes() == before
        assert len(looks) == turn
    (store_path / "data.mdb").unlink()
    environment = open_environment(store_path)  # now it is another program's
    environment.open_db(b"accounts")
    environment.close()
    with pytest.raises((DamagedStore, NotAStore)):
        opened(store_path)
    assert (store_path / "LOCK").read_bytes() == before


# -- what ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("limit", [1 << 30, 1], ids=["whole", "top"])
def test_a_doubtful_log_that_is_damaged_is_not_mapped_and_the_error_says_what_to_do(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    opened(store_path).close()
    misjudge(store_path / "data.mdb")
    opened(store_path).close()  # a clean end is trusted
    set_mark(store_path, lambda line: line.replace("closed ", "opening"))
    with monkeypatch.context() as patch:
        patch.setattr(lmdb, "open", lambda *_, **__: pytest.fail("it was mapped"))
        with pytest.raises(DamagedStore, match=r"did not finish.*restore a backup.*verify_bytes=0"):
            opened(store_path, verify_bytes=limit)
    with opened(store_path, verify_bytes=0) as log:
        assert log.head == 0


def test_a_replica_whose_opening_did_not_end_and_that_is_damaged_is_begun_anew(store_path: Path) -> None:
    def replica() -> ReplicaStore:
        return ReplicaStore.open(store_path, [TABLES], Codec(), history_id="h", log_head=99, map_size=1 << 24)

    with replica() as store:
        apply(store, 1)
    set_mark(store_path, lambda line: line.replace("closed ", "opening"))
    with replica() as store:
        assert store.reset_reason is None
        assert store.checkpoints() == {"tables": 1}
    misjudge(store_path / "data.mdb")
    with replica() as store:
        assert store.reset_reason is None
    set_mark(store_path, lambda line: line.replace("closed ", "opening"))
    with replica() as store:
        assert "did not finish, and it is damaged: " in (store.reset_reason or "")
        assert store.checkpoints() == {"tables": 0}


def some_environment(path: Path, chance: random.Random) -> Path:
    """Databases of many shapes, with values of several pages, and with free pages."""
    with lmdb.open(str(path), map_size=1 << 26, max_dbs=9, lib_version=0) as environment:
        names = [b"a", b"b", b"c"]
        databases = [environment.open_db(name) for name in names]
        for _ in range(chance.randrange(1, 12)):
            with environment.begin(write=True) as transaction:
                for _ in range(chance.randrange(400)):
                    key = chance.randbytes(chance.randrange(1, 200))
                    size = chance.choice([0, 10, 100, 1000, 9000])
                    transaction.put(key, bytes(size), db=chance.choice(databases))
                if chance.random() < 0.3:
                    transaction.drop(databases[0], delete=False)
    return path / "data.mdb"


def test_the_look_from_the_top_finds_nothing_in_sound_files(tmp_path: Path) -> None:
    for round_ in range(25):
        file = some_environment(tmp_path / str(round_), random.Random(round_))
        assert find_all_problems(file) == []
        assert find_first_problem(file) == []
        misjudge(file)
        assert find_all_problems(file)
        assert find_first_problem(file)


def test_the_look_from_the_top_ends_when_its_time_is_over(tmp_path: Path) -> None:
    with (
        lmdb.open(str(tmp_path), map_size=1 << 26, lib_version=0) as environment,
        environment.begin(write=True) as txn,
    ):
        for number in range(400):
            txn.put(number.to_bytes(2), bytes(1500))
    file = tmp_path / "data.mdb"
    ticks = count()
    assert find_first_problem(file, clock=lambda: float(next(ticks))) == []
    assert next(ticks) == 3, "when it began, and once after 64 pages"


def test_garbage_is_told_of_and_not_raised(tmp_path: Path) -> None:
    file = tmp_path / "data.mdb"
    chance = random.Random(1)
    sound = some_environment(tmp_path / "e", chance).read_bytes()
    for _ in range(300):
        data = bytearray(sound)
        for _ in range(chance.randrange(1, 20)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        file.write_bytes(bytes(data[: chance.choice([len(data), chance.randrange(len(data))])]))
        assert all(isinstance(one, str) for one in (*find_problems(file, 1), *find_problems(file, 1 << 30)))
    file.write_bytes(b"")
    assert find_problems(file, 1)
    assert find_all_problems(file)
    assert find_problems(file, 0) == []


def test_lmdbs_own_check_takes_files_that_it_does_not_map(tmp_path: Path) -> None:
    file = some_environment(tmp_path / "e", random.Random(2))
    assert verify(os.fspath(file), subdir=False) == []
    misjudge(file)
    [problem, *_] = verify(os.fspath(file), subdir=False)
    assert "depth" in problem
    file.write_bytes(b"x" * 9000)
    with pytest.raises(VerifyError):
        verify(os.fspath(file), subdir=False)


def test_a_mark_is_read_as_it_was_written_and_has_one_length() -> None:
    marks = [StopMark(state, 3, "b" * 36) for state in ("opening", "open", "closed")]
    assert [StopMark.read("process 1\n" + one.line()) for one in marks] == marks
    assert len({len(one.line()) for one in (*marks, StopMark("open", 99, ""))}) == 1
    for text in (
        "",
        "process 1",
        "process 1\n",
        "process 1\nopen\n",
        "process 1\nopen x y\n",
        "process 1\nelse 00 b\n",
    ):
        assert StopMark.read(text) is None
    unclean = StopMark("open", 99, "")
    assert StopMark.opening(unclean).unclean == 99
    assert StopMark.opening(None).unclean == 0
