"""What a store holds and how full its files are, of an open system and by `onewriter info`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors import System
from actors.cli import info
from tests import inside
from tests.bank_domain import Deposit, Open, bank
from tests.forked import Forked


def filled(path: Path, **options: Any) -> System:
    system = System.open(path, bank, replicas=2, **options)
    for name in ("ann", "bob", "cid"):
        system.execute(Open(name))
        system.execute(Deposit(name, 5))
    system.execute(Deposit("ann", 0))  # a command without events
    system.wait_applied()
    return system


def test_an_open_system_says_what_it_holds(tmp_path: Path) -> None:
    with filled(tmp_path / "bank") as system:
        found = system.info()
        assert (found.position, found.events, found.streams, found.commands) == (6, 6, 3, 7)
        assert found.history == inside.log(system).history_id
        assert found.held_by is not None
        assert "process" in found.held_by
        assert found.log.used_pages + found.log.free_pages == found.log.pages
        assert [one.name for one in found.replicas] == ["replica-1", "replica-2"]
        for replica in found.replicas:
            assert replica.usage is not None
            assert sum(one.entries for one in replica.usage.databases) > 3
        assert 0 < found.disk.free <= found.disk.total
        assert system.info(count_streams=False).streams is None
        json.dumps(found.as_dict())


def test_the_program_reads_a_store_that_is_open_elsewhere(tmp_path: Path) -> None:
    with filled(tmp_path / "bank") as system:
        with Forked("actors", "info", str(tmp_path / "bank"), "--json") as program:
            said = json.loads(program.stdout.read())
            assert program.wait(30) == 0
        mine = system.info().as_dict()
        assert said["log"]["databases"] == mine["log"]["databases"]
        for name in ("history", "position", "events", "streams", "commands", "notes", "held_by"):
            assert said[name] == mine[name], name
        assert [one["usage"]["used_pages"] for one in said["replicas"]] == [
            one["usage"]["used_pages"] for one in mine["replicas"]
        ]


def test_the_program_reads_a_closed_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path / "bank").close()
    assert info.main([str(tmp_path / "bank")]) == 0
    text = capsys.readouterr().out
    assert "open for writing: no" in text
    assert "position 6: 6 events in 3 streams, 7 command ids" in text
    assert "replica-2: " in text
    (tmp_path / "bank" / "replicas" / "replica-2" / "data.mdb").write_bytes(b"no database")
    assert info.main([str(tmp_path / "bank"), "--no-streams"]) == 0
    assert "replica-2: " in (text := capsys.readouterr().out)
    assert "is not what LMDB writes" in text
    assert info.main([str(tmp_path / "none")]) == 2
    assert "there is no store" in capsys.readouterr().err


def test_a_system_with_worker_processes_says_the_same(tmp_path: Path) -> None:
    filled(tmp_path / "bank").close()
    with System.open(tmp_path / "bank", bank, replicas=1, workers="process") as system:
        [replica] = system.info().replicas
        assert replica.problem is None
        assert replica.usage is not None
