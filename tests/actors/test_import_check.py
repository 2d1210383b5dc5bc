"""Another package that is called storage, or actors, and comes first on the path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def imported(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """A program run with the folder first on the path, and ours behind it."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("storage/__init__.py", ""),
        ("storage/__init__.py", "class StorageError(Exception): ...\nfrom storage import errors\n"),
        ("storage.py", "def save(): ..."),
    ],
)
def test_a_foreign_storage_package_is_named_with_what_to_do(tmp_path: Path, file: str, text: str) -> None:
    foreign = tmp_path / file
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text(text)
    (foreign.parent / "errors.py").write_text("")
    for program in ("import actors", "from actors import System", "import actors.testing"):
        done = imported(tmp_path, program)
        last = done.stderr.splitlines()[-1]
        assert done.returncode == 1
        assert last.startswith("ImportError: onewriter's package actors needs its own package storage"), last
        assert f"Python found another one: {foreign}. Rename that one" in last
        assert str(ROOT / "storage") in last


def test_a_folder_called_storage_without_a_module_in_it_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "notes.txt").write_text("mine")
    assert imported(tmp_path, "import actors, storage; storage.OnewriterError").returncode == 0


def test_a_foreign_actors_package_leaves_storage_usable_and_python_names_it(tmp_path: Path) -> None:
    foreign = tmp_path / "actors" / "__init__.py"
    foreign.parent.mkdir()
    foreign.write_text("")
    assert imported(tmp_path, "import storage; storage.EventLog").returncode == 0
    done = imported(tmp_path, "from actors import Domain")
    assert f"cannot import name 'Domain' from 'actors' ({foreign})" in done.stderr
