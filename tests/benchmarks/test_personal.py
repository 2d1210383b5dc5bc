"""The benchmark of personal fields runs, on a small scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import personal


def test_each_variant_is_measured_and_people_are_forgotten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        personal.main(["--commands", "1200", "--rounds", "1", "--people", "3", "--dir", str(tmp_path)]) == 0
    )
    printed = capsys.readouterr().out
    for name in personal.VARIANTS:
        assert f"| {name} |" in printed
    assert "Forgetting 3 people of 1,000, in a store of 1,200 events" in printed
    assert list(tmp_path.iterdir()) == []
