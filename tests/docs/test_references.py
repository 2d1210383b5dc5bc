"""The tables of docs/dependencies.md and docs/testing.md: the tests and scripts that they name are there."""

from __future__ import annotations

import ast
import os
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLES = ["docs/dependencies.md", "docs/testing.md"]
REFERENCE = re.compile(r"(tests/[\w/]+\.py)(?:::(\w+))?")


@cache
def names_in(path: str) -> frozenset[str]:
    """The names of a file's tests, those in classes too."""
    tree = ast.parse((ROOT / path).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return frozenset(
        [node.name for node in ast.walk(tree) if isinstance(node, kinds)]
        # A state machine of hypothesis is run by what it is assigned to.
        + [
            node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        ]
    )


def rows_of(page: str) -> list[tuple[int, list[str]]]:
    """The rows of a page's tables, without heads, each with its line and its cells."""
    lines = (ROOT / page).read_text().splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        if line.startswith("| ") and not "".join(lines[number : number + 1]).startswith("|--"):
            rows.append((number, [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]))
    return rows


@pytest.mark.parametrize("page", TABLES)
def test_every_test_that_a_page_names_is_there(page: str) -> None:
    found = REFERENCE.findall((ROOT / page).read_text())
    assert found
    for path, name in found:
        assert (ROOT / path).is_file(), f"{page} names {path}, which is not there"
        assert not name or name in names_in(path), f"{page} names {path}::{name}, which is not there"


@pytest.mark.parametrize("page", TABLES)
def test_every_row_of_these_tables_names_a_test(page: str) -> None:
    text = (ROOT / page).read_text().splitlines()
    start = text.index("## Faults that were found once") if page == "docs/testing.md" else 0
    rows = [(number, cells) for number, cells in rows_of(page) if number > start]
    assert rows
    for number, cells in rows:
        assert len(cells) == (4 if page == "docs/dependencies.md" else 2), f"{page}:{number} {cells}"
        assert all(cells), f"{page}:{number} has an empty cell"
        assert REFERENCE.search(cells[-1]), f"{page}:{number} names no test"


def test_every_script_about_a_dependency_is_in_its_table_and_can_be_run() -> None:
    text = (ROOT / "docs/dependencies.md").read_text()
    named = set(re.findall(r"`findings/([\w.-]+)`", text))
    there = {path.name for path in (ROOT / "findings").iterdir()}
    assert named == there
    for name in there:
        script = ROOT / "findings" / name
        assert os.access(script, os.X_OK), f"{name} is not executable"
        lines = script.read_text().splitlines()
        assert lines[0] == "#!/usr/bin/env bash"
        assert "set -euo pipefail" in lines
        for package in re.findall(r"pip\" install (?:--quiet )?(.*)", "\n".join(lines)):
            assert all("==" in one for one in package.split() if not one.startswith("-")), (
                f"{name}: {package}"
            )
