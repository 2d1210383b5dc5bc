"""`python -m actors verify` says which files of a closed store are damaged, by its lines and by its exit
code.
"""

from __future__ import annotations

import json
from pathlib import Path

import lmdb
import pytest

from actors import DamagedStore, Domain, System
from actors.__main__ import main
from tests.storage.files.test_lmdb_engines import other_engine
from tests.storage.files.test_page_check import misjudge, set_mark

meters = Domain("verified-meters")


@meters.event(state=None)
class Counted:
    number: int


totals = meters.read_model(
    "totals", engine="sqlite", schema="CREATE TABLE totals (number INTEGER PRIMARY KEY)"
)


@totals.on
def on_counted(event: Counted, database: object) -> None:
    database.execute("INSERT INTO totals VALUES (?)", (event.number,))  # type: ignore[attr-defined]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    with System.open(path, meters, replicas=2) as system:
        system.append("counts", [Counted(number) for number in range(500)])
        system.wait_applied()
    return path


def files_of(path: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_sound_files_are_called_sound_and_left_as_they_are(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_of(store)
    assert main(["verify", str(store)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0].removeprefix(f"{store}/").rpartition("/")[2] for line in lines] == [
        "data.mdb",
        "data.mdb",
        "model.sqlite",
        "data.mdb",
        "model.sqlite",
    ]
    assert all(": sound (" in line for line in lines)
    assert files_of(store) == before
    assert main(["verify", str(store), "--log-only"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_damage_is_told_with_what_to_do(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    misjudge(store / "replicas" / "replica-2" / "data.mdb")
    [database] = store.glob("replicas/replica-1/engines/*/model.sqlite")
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(4096))
    assert main(["verify", str(store)]) == 1
    told = capsys.readouterr().out
    assert told.count("DAMAGED") == 2
    assert f"delete {store}/replicas/replica-1" in told
    assert f"delete {store}/replicas/replica-2" in told
    assert main(["verify", str(store), "--log-only"]) == 0
    misjudge(store / "data.mdb")
    assert main(["verify", str(store), "--log-only"]) == 1
    assert "restore a backup" in capsys.readouterr().out


def test_in_json_each_file_is_a_document(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    misjudge(store / "replicas" / "replica-2" / "data.mdb")
    assert main(["verify", str(store), "--json"]) == 1
    reports = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [report["sound"] for report in reports] == [True, True, True, False, True]
    sound, damaged = reports[0], reports[3]
    assert (sound["file"], sound["findings"], sound["advice"]) == (str(store / "data.mdb"), [], None)
    assert sound["bytes"] == (store / "data.mdb").stat().st_size
    assert sound["seconds"] >= 0
    assert damaged["findings"]
    assert damaged["advice"].startswith(f"delete {store}/replicas/replica-2")


def test_a_store_that_is_open_and_what_is_no_store_are_refused(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with System.open(store, meters, replicas=1):
        assert main(["verify", str(store)]) == 2
    assert "already open" in capsys.readouterr().err
    assert main(["verify", str(tmp_path)]) == 2
    assert "is not a store, nor a folder of backups" in capsys.readouterr().err
    assert main(["verify", str(store), "--log-only", "--deep", "--domain", f"{__name__}:meters"]) == 2
    assert "--log-only leaves out" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["verify", "--help"])
    assert ended.value.code == 0
    assert "exit codes:" in capsys.readouterr().out


def test_a_log_of_the_other_engine_is_not_called_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other"
    path.mkdir(mode=0o700)
    other_engine(path)
    assert main(["verify", str(path)]) == 2
    told = capsys.readouterr()
    assert "was written by LMDB 1.0" in told.err
    assert "DAMAGED" not in told.out
    assert "restore a backup" not in told.out + told.err


def test_the_setting_of_a_system_bounds_the_look(store: Path) -> None:
    misjudge(store / "data.mdb")
    set_mark(store, lambda line: line.replace("closed ", "opening"))
    with pytest.raises(DamagedStore, match="did not finish"):
        System.open(store, meters, replicas=1)
    with System.open(store, meters, replicas=1, verify_bytes=0) as system:
        assert system.position == 500
    for wrong in (-1, True, 1.5):
        with pytest.raises(ValueError, match="verify_bytes"):
            System.open(store, meters, verify_bytes=wrong)  # type: ignore[arg-type]


def test_a_head_of_the_chain_is_compared(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with System.open(store, meters, replicas=1) as system:
        position, digest = system.chain_head()
        assert system.verify_log((position, digest)).sound
    assert main(["verify", str(store), "--log-only", "--chain", f"{position}:{digest}"]) == 0
    assert f"chain {position}:{digest}" in capsys.readouterr().out
    assert main(["verify", str(store), "--log-only", "--chain", f"{position}:{'0' * 64}"]) == 1
    assert "is not the one for which it was kept" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(store), "--chain", "500"])
    assert ended.value.code == 2


def test_a_changed_event_is_found_where_all_pages_are_sound(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with lmdb.open(str(store), max_dbs=32) as environment, environment.begin(write=True) as transaction:
        events = environment.open_db(b"events", txn=transaction)
        event = transaction.get((7).to_bytes(8), db=events)
        transaction.put((7).to_bytes(8), event[:30] + bytes([event[30] ^ 4]) + event[31:], db=events)
    assert main(["verify", str(store), "--log-only", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert "the event at position 7 is not what was written there" in report["findings"][0]
