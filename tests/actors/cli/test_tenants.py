"""`onewriter tenants` lists the stores of a folder, and moves one away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors import Systems
from actors.cli import tenants
from tests.actors.tenants.parcels import Here, Receive, parcels


def listed(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, Any]]:
    assert tenants.main([*map(str, arguments), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_it_lists_tenants_and_drops_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Systems(tmp_path, parcels, replicas=1) as systems:
        systems.get("acme").execute(Receive("p", 3600.0))
        systems.get("zeta")
        [acme, zeta] = [one["tenant"] for one in listed(capsys, tmp_path)]
        assert (acme["name"], acme["due"], zeta["name"]) == ("acme", "now", "zeta")
        assert acme["open"].startswith("process ")
        assert acme["bytes"] > 4096
        assert tenants.main([str(tmp_path), "--drop", "acme"]) == 1
        assert "already open for writing" in capsys.readouterr().err
    [acme, zeta] = [one["tenant"] for one in listed(capsys, tmp_path)]
    assert (acme["open"], zeta["open"], zeta["due"]) == (None, None, None)
    assert acme["due"][:2] == "20"
    assert tenants.main([str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "closed, to be opened for a timer: 20" in lines[0]
    assert lines[1].startswith("zeta  ")
    assert lines[1].endswith("  closed")
    [dropped] = listed(capsys, tmp_path, "--drop", "acme")
    assert Path(dropped["dropped"]["path"]).parent == tmp_path / ".dropped"
    assert [one["tenant"]["name"] for one in listed(capsys, tmp_path)] == ["zeta"]
    with Systems(tmp_path, parcels, replicas=1) as systems:
        assert systems.health().waking == 0
        assert systems.get("zeta").query(Here()) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["{path}/nowhere"], "is not a folder"),
        (["{path}", "--drop", "../x"], "a tenant's name"),
        (["{path}", "--drop", "x"], "no store for tenant 'x'"),
    ],
)
def test_bad_use_is_told_with_the_exit_code_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    assert tenants.main([one.format(path=tmp_path) for one in arguments]) == 2
    assert text in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
