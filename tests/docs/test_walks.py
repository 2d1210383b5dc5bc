"""The walks of docs/architecture.md come by the files that they name."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text()
WALKS = {
    "A command": "command",
    "An event to a row": "command",
    "A query": "query",
    "A process manager's reaction": "command",
}


def stations(title: str) -> list[tuple[str, list[str]]]:
    """The rows of a walk: a thread, and its files."""
    section = PAGE.partition(f"### {title}\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| (?:-> )?([a-z ]+) \| (`.+) \|$", section, re.MULTILINE)
    return [(thread, re.findall(r"`([^`]+)`", files)) for thread, files in rows]


@pytest.fixture(scope="module")
def entered() -> dict[str, dict[str, list[str]]]:
    """What each thread really enters, by walk."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.docs.walk"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, dict[str, list[str]]] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("title", WALKS)
def test_a_walk_comes_by_the_files_that_it_names(
    title: str, entered: dict[str, dict[str, list[str]]]
) -> None:
    rows = stations(title)
    assert len(rows) >= 3
    for thread, files in rows:
        missed = [file for file in files if file not in entered[WALKS[title]][thread]]
        assert missed == [], f"{title}: {thread}"
