"""Type checkers see a domain's classes, queries and states as they are: an example without errors, and one
full of them.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from actors import Domain, ProcessManager, ReadModel, Session, System
from tests.typing.mypy_cache import ROOT, mypy_cache

MISTAKES = Path(__file__).with_name("mistakes.py")
EXAMPLE = ROOT / "examples" / "clinic"


def marked() -> set[int]:
    """The lines that say that they are wrong."""
    lines = MISTAKES.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if "# flagged: " in line}


def output(*arguments: str) -> str:
    """What a checker prints, run from the top."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def by_mypy(*files: Path) -> list[str]:
    """mypy's errors."""
    pytest.importorskip("mypy")
    with mypy_cache() as cache:
        shown = output("mypy", "--cache-dir", str(cache), "--no-error-summary", *map(str, files))
    return [line for line in shown.splitlines() if ": error: " in line]


def by_pyright(project: Path) -> list[tuple[str, int, str]]:
    """pyright's errors, each with its file and line."""
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright comes with the extra 'types': make types")
    found = json.loads(
        output("pyright", "--outputjson", "--project", str(project), "--pythonpath", sys.executable)
    )
    assert found["summary"]["filesAnalyzed"] > 0
    return [
        (one["file"], one["range"]["start"]["line"] + 1, one["message"])
        for one in found["generalDiagnostics"]
        if one["severity"] == "error"
    ]


def test_mypy_flags_each_mistake_and_nothing_else() -> None:
    errors = by_mypy(MISTAKES, EXAMPLE)
    assert [line for line in errors if MISTAKES.name not in line] == []
    assert {int(line.split(":")[1]) for line in errors} == marked(), "\n".join(errors)


def test_pyright_flags_each_mistake_and_nothing_else() -> None:
    errors = by_pyright(MISTAKES.parent)
    assert {line for _, line, _ in errors} == marked(), "\n".join(map(str, errors))


def test_pyright_finds_the_example_without_errors() -> None:
    assert by_pyright(ROOT) == []


def test_the_example_uses_every_decorator_and_every_public_call() -> None:
    used = {
        node.attr
        for file in EXAMPLE.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
    }
    for cls in (Domain, ProcessManager, ReadModel, System, Session):
        public = {name for name, one in vars_of(cls).items() if callable(one) or isinstance(one, property)}
        inside = {"compile", "schema", "placed_on", "close"}  # what the system calls, and its with block
        assert public - used - inside == set(), cls


def vars_of(cls: type) -> dict[str, object]:
    """The public names of a class and its bases."""
    return {
        name: one for base in reversed(cls.__mro__[:-1]) for name, one in vars(base).items() if name[0] != "_"
    }


def test_the_example_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "examples.clinic", str(tmp_path / "clinic")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^caretaker: ok: 6 waiting, first MAIL", done.stdout, re.M), done.stdout
    assert "parked: appointment-cyd-40, no address" in done.stdout
    assert "bob is at [forgotten], " in done.stdout
    assert re.search(r"^6 letters sent, \d+ events in ", done.stdout, re.M), done.stdout
