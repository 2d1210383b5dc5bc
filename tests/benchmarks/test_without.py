"""What a choice is worth: that it is left out, and only inside the block."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors import System
from benchmarks.domain import shop
from benchmarks.without import CHOICES, main, without
from benchmarks.workload import listing


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_is_left_out_inside_the_block_alone(name: str) -> None:
    choice = CHOICES[name]
    before = [getattr(module, choice.name) for module in choice.modules]
    with without(choice):
        assert all(getattr(module, choice.name) is choice.instead for module in choice.modules)
    assert [getattr(module, choice.name) for module in choice.modules] == before


def test_without_group_commit_each_command_has_a_commit_of_its_own(tmp_path: Path) -> None:
    with without(CHOICES["group-commit"]), System.open(tmp_path / "one", shop, replicas=1) as system:
        system.execute_many([listing(number) for number in range(50)])
        assert system.health().writer.batches == 50
    with System.open(tmp_path / "other", shop, replicas=1) as system:
        system.execute_many([listing(number) for number in range(50)])
        assert system.health().writer.batches < 50


def test_both_ways_have_their_rates_and_a_ratio(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index-tail", "--rounds", "1", "--commands", "1000", "--dir", str(tmp_path)]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| onewriter")]
    assert len(rows) == len(CHOICES["index-tail"].entries)
