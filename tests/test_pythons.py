"""How the Pythons of a machine are found: those that run, on the PATH or among pyenv's versions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def found(home: Path, path: Path) -> list[str]:
    """What the script finds where only these folders have Pythons."""
    done = subprocess.run(
        [str(ROOT / ".ci" / "pythons")],
        env={"HOME": str(home), "PATH": f"{path}{os.pathsep}{home / 'tools'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.splitlines()


def test_a_name_that_does_not_run_is_passed_over_and_pyenvs_latest_version_is_found(tmp_path: Path) -> None:
    path, tools = tmp_path / "bin", tmp_path / "tools"
    for folder in (path, tools):
        folder.mkdir()
    for tool in ("bash", "dirname", "sed", "sort"):
        (tools / tool).symlink_to(f"/usr/bin/{tool}" if Path(f"/usr/bin/{tool}").exists() else f"/bin/{tool}")
    for name in (f"python{HERE}", "python3"):
        (path / name).write_text(f"#!/bin/sh\necho '{name}: command not found' >&2\nexit 127\n")
        (path / name).chmod(0o755)
    assert found(tmp_path, path) == []
    for version in (f"{HERE}.2", f"{HERE}.10"):
        binary = tmp_path / ".pyenv" / "versions" / version / "bin"
        binary.mkdir(parents=True)
        (binary / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (binary / "python3").chmod(0o755)
    assert found(tmp_path, path) == [f"{HERE}\t{tmp_path}/.pyenv/versions/{HERE}.10/bin/python3"]
