"""The whole run, as small as it can be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks.__main__ import main
from benchmarks.plots import bars
from benchmarks.rates import Size
from benchmarks.ratios import Range
from benchmarks.section import Section

SMALL = ["--rounds", "1", "--commands", "1000", "--queries", "100"]


def run(tmp_path: Path, *options: str) -> tuple[int, str, dict[str, object]]:
    out = tmp_path / "out"
    code = main([*SMALL, "--dir", str(tmp_path), "--out", str(out), *options])
    return code, (out / "report.md").read_text(), json.loads((out / "results.json").read_text())


def test_a_run_writes_a_report_with_its_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    names = ["bare-submit", "bare-three-replicas-submit", "stripped", "onewriter-submit", "lmdb-key", "pykka"]
    code, page, results = run(tmp_path, "--only", *names)
    assert code == 0
    assert "| onewriter, 3 replicas: submit | 1 |" in page
    assert "| pipelined submit, to the last reply / bare loop (3 in threads) |" in page
    assert "![Queries a second](queries.svg)" in page
    assert (tmp_path / "out" / "commands.svg").exists()
    assert set(results["seconds"]) == {"commands", "queries"}
    for key in ("commands/bare-submit", "commands/onewriter-submit/applied/lowest", "queries/pykka-ask-lmdb"):
        assert results["figures"][key] > 0


def test_a_part_that_fails_loses_none_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(folder: Path, size: Size) -> tuple[Section, bool]:
        raise OSError("no room")

    def whole(folder: Path, size: Size) -> tuple[Section, bool]:
        return Section("Whole", "Done.", ("", "rate"), [("one", "1")], {"whole/one": 1.0}), True

    monkeypatch.setattr(program, "PARTS", {"broken": broken, "whole": whole})
    code, page, results = run(tmp_path)
    assert code == 1
    assert "Not measured: OSError: no room" in page
    assert "| one | 1 |" in page
    assert results["figures"] == {"whole/one": 1.0}
    assert results["failed"] == {"broken": "OSError: no room"}
    assert "OSError: no room" in capsys.readouterr().err


def test_parts_and_entries_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--only", "umadb-64"]) == 0
    assert capsys.readouterr().out.split() == ["commands", "commands/umadb-64"]
    assert main(["--list", "--parts", "lag", "ranges"]) == 0
    assert capsys.readouterr().out.split()[0] == "ranges"
    with pytest.raises(SystemExit, match="there is no part nothing"):
        main(["--list", "--parts", "nothing"])
    with pytest.raises(SystemExit, match="named like nothing"):
        main(["--list", "--only", "nothing"])
    with pytest.raises(SystemExit, match="at least 1000"):
        main(["--commands", "10"])


def test_a_plot_of_the_same_figures_is_the_same_file(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rates = {"onewriter": Range(10.0, 9.0, 11.0), "a peer": Range(5.0, 5.0, 5.0)}
    drawn = [
        (tmp_path / bars(tmp_path / f"{name}.svg", rates, "a second")).read_text() for name in ("a", "b")
    ]
    assert drawn[0] == drawn[1]
    assert "onewriter" in drawn[0]
