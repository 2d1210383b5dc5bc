"""A worker process that is forked has what one that is started has."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from actors.worker_processes.parent import worker_process
from tests import forked_workers, preloaded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="they are forked on Linux only")

TELL = """
import os, socket, sys
with socket.socket(fileno=int(sys.argv[2])) as told:
    facts = [os.getppid(), os.getpgid(0) == os.getpid(), os.getcwd(), os.environ["SAID"], sys.argv[:2]]
    told.sendall(repr([*facts, sys.stdin.read(), os.path.sameopenfile(1, int(sys.argv[3]))]).encode())
sys.exit(7)
"""


ORPHAN = """
import os
parent = os.getpid()
if os.fork():
    os._exit(0)
while os.getppid() == parent:
    pass
print(os.getppid())
"""


@pytest.mark.parametrize("start", [forked_workers.fork_python, forked_workers.START])
def test_it_is_a_child_with_the_files_and_the_surroundings_of_its_parent(
    start: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SAID", "this")
    monkeypatch.chdir(tmp_path)
    here, there = socket.socketpair()
    output = os.dup(1)
    with here, start(TELL, ["one"], [there.fileno(), output]) as process:  # type: ignore[operator]
        there.close()
        os.close(output)
        said = here.recv(10_000).decode()
        assert process.wait(20) == 7
    assert said == repr([os.getpid(), True, str(tmp_path), "this", ["-c", "one"], "", True])


def test_it_is_waited_for_and_killed_as_any_other() -> None:
    with forked_workers.fork_python("import signal; signal.pause()", [], []) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        process.kill()
    assert process.returncode == -9


def test_what_a_child_leaves_behind_is_not_adopted_otherwise() -> None:
    with forked_workers.fork_python("", [], []) as process:
        assert process.wait(20) == 0
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN], capture_output=True, text=True, timeout=20, check=True
    )
    assert int(done.stdout) != os.getpid()


def test_tests_have_it_and_may_have_one_that_is_started() -> None:
    assert worker_process.start_python is forked_workers.fork_python
    with forked_workers.started():
        assert worker_process.start_python is forked_workers.START
    assert preloaded.address().exists()
