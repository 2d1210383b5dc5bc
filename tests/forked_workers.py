"""Worker processes of the systems in tests are forked from the process that `tests.preloaded` keeps.

Importing the library is most of what the start of one takes, and all tests start hundreds. They are children
of the process of the test, as others are, and run the same program; but all have the same seed of hashes.
Tests of how a worker starts, or of what it imports, use `started_workers` of tests/conftest.py.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from actors.worker_processes.parent import worker_process
from tests import preloaded

START = worker_process.start_python
"""How a worker is started otherwise."""


class ForkedPython(subprocess.Popen[bytes]):
    """`python -c PROGRAM ...`, with open files whose numbers are its last arguments."""

    def _execute_child(
        self, args: list[str], executable: Any, preexec_fn: Any, close_fds: Any, pass_fds: Any, *others: Any
    ) -> None:
        program, *arguments = args
        self.pid = preloaded.start_child(program, arguments, list(pass_fds))
        self._child_created = True


def fork_python(program: str, arguments: list[str], fds: list[int]) -> subprocess.Popen[bytes]:
    """As `start_python` of the library."""
    return ForkedPython([program, *arguments], pass_fds=fds)


def use() -> None:
    """Have worker processes be forked from now on, where that can be done."""
    if sys.platform == "linux":
        worker_process.start_python = fork_python


@contextmanager
def started() -> Iterator[None]:
    """Have worker processes start as users' do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_process, "start_python", START)
        yield
