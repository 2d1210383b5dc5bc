"""Nothing wrong is served of a store with a flipped byte; see `flip_bytes`, which `make flips` runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FLIPS = 60


def test_each_flipped_byte_is_found_or_harmless() -> None:
    program = [sys.executable, "-m", "tests.system.flip_bytes", "--flips", f"{FLIPS}", "--seed", "20"]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    told = json.loads(done.stdout)
    assert (done.returncode, told["bad"]) == (0, []), done.stdout
    assert told["found"] + told["harmless"] + told.get("ended", 0) == FLIPS
    assert told["found"] > FLIPS // 6
