from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.engines.__main__ import main


def test_every_engine_has_its_figures_and_they_agree_on_the_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--quick", "--events", "500", "--dir", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(options) == 0
    figures = json.loads((tmp_path / "out" / "engines.json").read_text())["figures"]
    assert list(figures) == ["lmdb", "sqlite", "memory"]
    for of_engine in figures.values():
        assert of_engine["applied by 20"] > 0
        assert 0 < of_engine["one by its key"]["p50"] <= of_engine["one by its key"]["p99"]
    assert capsys.readouterr().out.count("| memory |") == 1
