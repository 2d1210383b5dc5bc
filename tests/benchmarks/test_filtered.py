"""The benchmark of filtered reading runs, and finds the rare events."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import filtered


def test_each_way_is_measured_beside_reading_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert filtered.main(["--events", "2500", "--rounds", "2", "--dir", str(tmp_path)]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[2:]] == [f"| {way}" for way in filtered.WAYS]
    assert rows[2][2].startswith("1.000")
