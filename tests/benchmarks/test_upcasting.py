"""The benchmark of upcasters runs, and every event comes through them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import upcasting


def test_both_stores_are_replayed_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert upcasting.main(["--events", "3100", "--rounds", "2", "--dir", str(tmp_path)]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[2:]] == [
        "| replayed, of three versions",
        "| replayed, of the newest version",
        "| `schema check`, of three versions",
    ]
    assert rows[3][2].startswith("1.00")
