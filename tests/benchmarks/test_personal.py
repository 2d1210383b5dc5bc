"""The benchmark of personal fields runs, on a small scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import personal


def test_each_variant_is_measured_and_people_are_forgotten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal, "PEOPLE", 20)
    assert personal.main(["--commands", "60", "--rounds", "1", "--people", "3", "--dir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for name in personal.VARIANTS:
        assert f"| {name} |" in printed
    assert "Forgetting 3 people of 20, in a store of 60 events" in printed
    assert list(tmp_path.iterdir()) == []
