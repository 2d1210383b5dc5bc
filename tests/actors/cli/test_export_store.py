"""`onewriter export` and `onewriter import` on stores of a domain."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from actors import System
from actors.cli import export_store, import_store
from tests.actors.cli.test_installed import run
from tests.bank_domain import Deposit, Note, Open, Richest, bank
from tests.storage.transfer.damaged import replace_record

DOMAIN = "tests.bank_domain:bank"
COMMANDS = {"open-ann": Open("ann"), "five": Deposit("ann", 5), "nothing": Deposit("ann", 0)}


@pytest.fixture
def store(tmp_path: Path) -> str:
    path = str(tmp_path / "bank")
    with System.open(path, bank, replicas=1) as system:
        for id, command in COMMANDS.items():
            system.execute(command, command_id=id)
        system.execute(Note("ann", "line\x85\u2028end"), metadata={"by": (1, 2)})
        with system.consumer("mails", types=["Moved"], start="beginning") as consumer:
            next(iter(consumer)).ack()
    return path


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.split("\n") if line]


def test_an_imported_store_knows_its_commands_and_its_consumers(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, again = str(tmp_path / "bank.jsonl"), str(tmp_path / "again")
    assert export_store.main([store, file]) == 0
    assert capsys.readouterr().out.startswith("exported 3 events, of a log of 3; digest ")
    assert import_store.main([file, again, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["imported"], report["commands"]) == (3, 1)
    assert report["types"] == {"Moved": 1, "Noted": 1, "Opened": 1}
    with System.open(store, bank, replicas=1) as system:
        events, receipts = system.stream("account-ann"), {}
        for id, command in COMMANDS.items():
            receipts[id] = command, system.execute(command, command_id=id)
        consumers = system.consumers()
    with System.open(again, bank, replicas=1) as system:
        assert system.stream("account-ann") == events
        for id, (command, receipt) in receipts.items():
            repeated = system.execute(command, command_id=id)
            assert (repeated.position, repeated.versions) == (receipt.position, receipt.versions)
        assert system.position == 3
        assert system.consumers() == consumers
        assert system.query(Richest(), consistency="strong") == [{"owner": "ann", "balance": 5}]
        system.execute(Deposit("ann", 7))
    assert sorted(os.listdir(tmp_path)) == ["again", "bank", "bank.jsonl"]


def test_a_store_that_is_open_is_exported(store: str, tmp_path: Path) -> None:
    with System.open(store, bank, replicas=1) as system:
        for number in range(20):
            system.execute(Deposit("ann", number + 1))
        done = run(f"onewriter export {store} --type Moved", tmp_path)
        assert (done.returncode, len(lines_of(done.stdout))) == (0, 1 + 21 + 1)
        assert done.stderr.startswith("exported 21 events, of a log of 23; digest ")
        system.execute(Deposit("ann", 1))


def test_through_a_domain_what_cannot_be_read_has_a_reason(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replace_record(Path(store), 2, b"\xc1")
    assert export_store.main([store, str(tmp_path / "file"), "--domain", "shop", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["exported"], report["undecodable"]) == (3, 3)
    _, opened, damaged, noted, *_ = lines_of((tmp_path / "file").read_text())
    assert opened["fields"] == {"owner": "ann"}
    assert opened["undecodable"].startswith(
        "UnknownType: no class is registered for the stored type 'Opened'"
    )
    assert (damaged["position"], damaged["stored"]) == (2, "wQ==")
    assert noted["metadata"] == {"by": {"$tuple": [1, 2]}}
    assert export_store.main([store, str(tmp_path / "file"), "--domain", DOMAIN, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["undecodable"] == 1
    assert import_store.main([str(tmp_path / "file"), str(tmp_path / "again")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("InvalidExport: line 3 can't be imported: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["nowhere"], "nowhere is not a store"),
        ([".", "--domain", "nothing"], "--domain takes MODULE:ATTRIBUTE"),
        ([".", "--from", "0"], "must be at least 1, not 0"),
    ],
)
def test_a_wrong_call_of_export_is_one_line(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    try:
        code = export_store.main(arguments)
    except SystemExit as ended:
        code = ended.code  # type: ignore[assignment]
    assert code == 2
    written = capsys.readouterr()
    assert error in written.err
    assert (written.out, written.err.count("\n")) == ("", 1)


def test_a_wrong_call_of_import_is_one_line(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_store.main([str(tmp_path / "nothing"), str(tmp_path / "again")]) == 2
    assert capsys.readouterr().err == f"{tmp_path}/nothing cannot be read: No such file or directory\n"
    export_store.main([store, str(tmp_path / "file")])
    assert import_store.main([str(tmp_path / "file"), store]) == 2
    assert "exists already; give the path of a new store\n" in capsys.readouterr().err
    (tmp_path / "file").write_bytes(b'{"onewriter_export": 1}\n\xff\n')
    assert import_store.main([str(tmp_path / "file"), str(tmp_path / "again")]) == 1
    assert capsys.readouterr().err.startswith("InvalidExport: line 1 can't be imported: ")


def test_a_file_is_replaced_only_when_the_new_one_is_complete(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("the old one")

    def full(_number: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("actors.cli.export_store.os.fsync", full)
        assert export_store.main([store, str(file)]) == 1
    assert "cannot be written: the disk of" in capsys.readouterr().err
    assert file.read_text() == "the old one"
    assert sorted(os.listdir(tmp_path)) == ["bank", "file"]
    assert export_store.main([store, str(file)]) == 0
    assert len(lines_of(file.read_text())) > 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("where", ["> /dev/full", "/dev/full"])
def test_a_full_disk_is_one_line(where: str, store: str, tmp_path: Path) -> None:
    done = run(f"onewriter export {store} {where}", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "No space left on device" in done.stderr


def test_a_reader_that_closes_the_pipe_ends_it_without_a_word(store: str, tmp_path: Path) -> None:
    with System.open(store, bank, replicas=1) as system:
        system.execute_many([Note("ann", "x" * 1000) for _ in range(1000)])
    done = run(f"{{ onewriter export {store}; echo $? > code; }} | head -1", tmp_path)
    assert (done.stderr, (tmp_path / "code").read_text()) == ("", "1\n")
    assert len(lines_of(done.stdout)) == 1


def test_progress_is_said_on_standard_error(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("actors.cli.progress_lines.EVERY", 0.0)
    assert export_store.main([store, str(tmp_path / "file")]) == 0
    assert capsys.readouterr().err.startswith("exported 3 of 3 events (100 %), ")
    assert import_store.main([str(tmp_path / "file"), str(tmp_path / "again"), "--json"]) == 0
    document = json.loads(capsys.readouterr().err)
    assert (document["progress"], document["position"], document["head"]) == ("imported", 3, 3)
