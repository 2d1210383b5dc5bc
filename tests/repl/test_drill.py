"""`onewriter drill`: what it reports of a good backup, and what it finds in others."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import System
from actors.__main__ import main
from actors.demo.shop import ListProduct, shop

Drill = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    with System.open(tmp_path / "store", shop, replicas=1) as system:
        for number in range(3):
            system.execute(ListProduct(f"mug-{number}", "Mug", "kitchen", 850 + number))
            system.backup(tmp_path / "backups")
    return tmp_path / "backups"


@pytest.fixture
def drill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Drill]:
    level = logging.getLogger("onewriter").level
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def run(*arguments: object, domain: str = "shop") -> tuple[int, dict[str, Any]]:
        given = ["drill", *map(str, arguments), "--domain", domain, "--scratch", str(scratch), "--json"]
        code = main(given)
        assert os.listdir(scratch) == []
        out = capsys.readouterr().out
        return code, json.loads(out)["drill"] if out else {}

    yield run
    assert logging.getLogger("onewriter").level == level


def test_a_good_backup_is_restored_and_asked(backups: Path, drill: Drill) -> None:
    code, report = drill(backups, "--query", "Cheapest 1", "--query", "ProductDetails mug-2")
    assert (code, report["ok"], report["error"]) == (0, True, None)
    assert (report["files"], report["position"]) == (3, 3)
    assert report["bytes"] == sum(file.stat().st_size for file in backups.glob("*.backup"))
    assert 0 <= report["age"] < 3600
    cheapest, details = report["queries"]
    assert cheapest["result"][0]["sku"] == "mug-0"
    assert details["result"]["price"] == 852
    assert list(report["seconds"]) == ["look", "restore", "open", "fill", "ask"]


def test_what_is_not_well_is_named_with_the_step(backups: Path, drill: Drill) -> None:
    code, report = drill(backups, domain="delivery")
    assert (code, report["failed_at"]) == (1, "open")
    assert "can't read what is stored" in report["error"]
    newest = max(backups.glob("*.backup"))
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    code, report = drill(backups)
    assert (code, report["ok"], report["failed_at"]) == (1, False, "restore")
    assert "InvalidBackup" in report["error"]
    newest.write_bytes(data[:-5])
    assert drill(backups)[1]["failed_at"] == "look"
    os.utime(backups)
    newest.unlink()
    assert drill(backups)[0] == 0


def test_a_backup_that_is_too_old_is_not_well(
    backups: Path, drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert drill(backups, "--max-age", 3600)[0] == 0
    from datetime import datetime, timedelta

    import actors.repl.drill as module

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(hours=2)

    monkeypatch.setattr(module, "datetime", Later)
    code, report = drill(backups, "--max-age", 3600)
    assert code == 1
    assert "may be 3,600 s" in report["error"]


def test_wrong_calls_are_refused_before_anything_is_restored(
    backups: Path, drill: Drill, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drill(backups, "--query", "ListProduct a b c 1")[0] == 2
    assert drill(backups, domain="no.such:domain")[0] == 2
    assert main(["drill", str(backups), "--domain", "shop", "--scratch", str(backups / "none")]) == 2
    capsys.readouterr()
    assert main(["drill", str(backups), "--domain", "shop", "--query", "Cheapest 1"]) == 0
    out = capsys.readouterr().out
    assert "restored up to position 3" in out
    assert "all is well" in out
