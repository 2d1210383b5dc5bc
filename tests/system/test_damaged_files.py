"""Damage in stores and backups is found by `verify`; see `damage_files`, which `make damage` runs."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from storage import InvalidBackup
from storage.backup.segment_format import BLOCK, HEADER, MAGIC
from storage.backup.segment_reader import open_segment

ROOT = Path(__file__).parents[2]
FLIPS, SWAPS = 15, 15


@pytest.mark.slow
def test_flipped_bytes_and_swapped_pages_are_found_and_nothing_wrong_is_restored() -> None:
    program = [sys.executable, "-m", "tests.system.damage_files", "--seed", "14"]
    program += ["--flips", str(FLIPS), "--swaps", str(SWAPS)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=250, check=False)
    told = json.loads(done.stdout)
    assert (done.returncode, told["bad"]) == (0, []), done.stdout + done.stderr
    assert told["backup flip"]["found"] == FLIPS
    assert told["backup swap"]["found"] == SWAPS
    for kind, many in (("store flip", FLIPS), ("store swap", SWAPS)):
        assert told[kind]["found"] + told[kind].get("unused", 0) == many
        assert told[kind]["found"] > 0
    assert told["backup flip"]["refused"] > 0
    assert told["backup flip"]["right"] > 0


def test_no_memory_is_asked_for_by_a_damaged_length(tmp_path: Path) -> None:
    file = tmp_path / "00000001-full.backup"
    file.write_bytes(MAGIC + BLOCK.pack(HEADER, (1 << 31) - 1, 0) + bytes(100))
    tracemalloc.start()
    try:
        with pytest.raises(InvalidBackup, match="damaged"):
            open_segment(file)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
