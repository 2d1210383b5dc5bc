"""The benchmark of many tenants runs, on a small scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import tenants


def test_it_prints_what_a_tenant_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scale = ["--tenants", "3", "--events", "20", "--openings", "2", "--seconds", "0.3"]
    assert tenants.main([*scale, "--dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    lines = [[cell.strip() for cell in line.split("|")] for line in out.splitlines()]
    rows = {cells[1]: cells[2] for cells in lines if len(cells) > 3}
    # A thread of the stores before may still be ending when the count begins.
    assert abs(float(rows["threads"]) - 5) < 1
    assert rows["opened on demand"].endswith(" ms")
    assert rows["a command a second for each"].endswith("% of a core")
