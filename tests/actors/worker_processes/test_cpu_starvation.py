"""Who does not answer as the machine does not let it run, and who for another reason."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.worker_processes.parent.cpu_starvation import CpuStarvation
from tests.helpers import wait_until

TICKS = os.sysconf("SC_CLK_TCK")
PID = 77


class Proc:
    """A folder such as the kernel shows: the states of the threads, and the processor time of all of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def show(self, seconds: float, *states: str) -> None:
        used = int(seconds * TICKS)
        line = f"{PID} (a program) R) %s 1 1 1 0 -1 0 0 0 0 0 {used} 0 0 0 20 0 1 0"
        place = self.folder / str(PID)
        (place / "task").mkdir(parents=True, exist_ok=True)
        (place / "stat").write_text(line % states[0])
        for number, state in enumerate(states):
            thread = place / "task" / str(PID + number)
            thread.mkdir(exist_ok=True)
            (thread / "stat").write_text(line % state)


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def looked(proc: Proc, used: float, *states: str) -> bool:
    """Whether it is starved, a second after a look, where it used so many seconds of processor time since
    then.
    """
    starved = CpuStarvation(PID, str(proc.folder))
    proc.show(5.0, *states)
    assert not starved.is_starved(100.0)
    proc.show(5.0 + used, *states)
    return starved.is_starved(101.0)


@pytest.mark.parametrize("states", ["R", "SR", "RSS"])
def test_a_process_that_could_run_and_is_not_let_is_starved(proc: Proc, states: str) -> None:
    assert looked(proc, 0.05, *states)


def test_a_process_that_calculates_is_not_starved(proc: Proc) -> None:
    assert not looked(proc, 0.9, "S", "R")


@pytest.mark.parametrize("states", ["T", "S", "D", "SSS", "TT"])
def test_a_process_that_is_stopped_or_waits_is_not_starved(proc: Proc, states: str) -> None:
    assert not looked(proc, 0.0, *states)


def test_a_process_of_which_nothing_is_known_is_not_starved(proc: Proc) -> None:
    starved = CpuStarvation(PID, str(proc.folder))
    assert not starved.is_starved(100.0)
    proc.show(5.0, "R")
    assert not starved.is_starved(101.0)
    (proc.folder / str(PID) / "stat").write_text("nonsense")
    assert not starved.is_starved(102.0)


@pytest.fixture
def waiting() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", "import time\nwhile time.process_time() < 0.1: pass\ninput()"],
        stdin=subprocess.PIPE,
    ) as process:
        yield process


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_the_kernel_shows_a_process_that_waits_as_one_that_is_not_starved(
    waiting: subprocess.Popen[bytes],
) -> None:
    starved = CpuStarvation(waiting.pid)
    # It begins by running.
    wait_until(lambda: starved._used() > 0 and not starved.is_starved() and not starved._ready())
    assert not starved.is_starved()
