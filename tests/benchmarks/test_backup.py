"""The benchmark of backups runs, and measures each way and each load."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import backup


def test_each_way_is_measured_and_commands_beside_each_load(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--events", "2000", "--rounds", "1", "--seconds", "0.2", "--dir", str(tmp_path)]
    assert backup.main(arguments) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    names = [row[0].removeprefix("| ") for row in rows]
    assert [name for name in names if name in (*backup.WAYS, *backup.LOADS)] == [
        *backup.WAYS,
        *backup.LOADS,
    ]
    assert list(tmp_path.iterdir()) == []
