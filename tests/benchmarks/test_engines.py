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
    for engine in ("lmdb", "sqlite", "memory"):
        assert figures[f"engines/{engine}/applied_by_20_per_second"] > 0
        median, most = (figures[f"engines/{engine}/one_by_its_key/{one}_seconds"] for one in ("p50", "p99"))
        assert 0 < median <= most
    assert capsys.readouterr().out.count("| memory |") == 1
