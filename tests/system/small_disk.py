"""A file system of 8 MiB that is mounted for a test, where that is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PAGE = 4096


class Disk:
    """A file system of 8 MiB; a file takes the room that a test wants to give back later."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ballast = path / "ballast"

    def leave(self, free: int) -> None:
        """Leave about so many bytes free."""
        status = os.statvfs(self.path)
        self.ballast.write_bytes(bytes(max(status.f_bavail * status.f_frsize - free, PAGE)))

    def make_room(self) -> None:
        """Give back what the file took."""
        self.ballast.unlink()


@contextmanager
def small_disk(path: Path) -> Iterator[Disk]:
    """Mount one at a path; skips the test where that can't be done."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield Disk(path)
    subprocess.run(["umount", str(path)], check=True)
