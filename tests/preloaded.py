"""Programs in processes of their own that need not import the engine: they are forked from one that has.

Importing the engine takes a quarter of a second of processor time, ten times what such a fork takes. So `run`
is for tests of what a program does; that it starts as users start it, a test with a real start says.

The process that forks has imported the engine, with warnings as errors, and nothing else of the project. Each
process of pytest has one, from the first program that is asked for. It listens at a socket, where it is given
standard streams and arguments, and says how the program ended. It has no threads, and ends with pytest.
`start_child` gives a child of the process of pytest itself, as the worker processes of a system are.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import marshal
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENGINE = (
    "actors.system.system",
    "actors.worker_processes.child.main",
    "storage.engines.memory.store",
    "storage.engines.sqlite.store",
)
"""What a whole system and its worker processes import, those of the other engines included."""
Request = tuple[list[str], str, dict[str, str], bool]
"""The arguments, the directory and the environment of a program, and whether it is a child of who asked."""


# -- for tests ----------------------------------------------------------------------------------
def run(
    arguments: list[str],
    cwd: Path,
    *,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run `-m MODULE ...`, `-c PROGRAM ...` or `FILE ...` as `python -W error` does, in the folder `cwd`.

    Raises subprocess.TimeoutExpired after `timeout` seconds, with the program killed.
    """
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
    ):
        given.write(stdin)
        given.seek(0)
        streams = [one.fileno() for one in (given, output, errors)]
        with ask(streams, arguments, cwd, environment) as connection, connection.makefile() as answers:
            connection.settimeout(timeout)
            pid = int(answers.readline())
            try:
                code = int(answers.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(arguments, timeout) from None
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(arguments, code, output.read().decode(), errors.read().decode())


def ask(
    streams: list[int],
    arguments: list[str],
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    *,
    as_child: bool = False,
) -> socket.socket:
    """Start the program with these streams. Returns where to read its id, and later its exit code.

    It has the streams from the fourth on under numbers that are its last arguments.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(address()))
    socket.send_fds(connection, [b"."], streams)
    connection.sendall(marshal.dumps((arguments, str(cwd), dict(environment or os.environ), as_child)))
    connection.shutdown(socket.SHUT_WR)
    return connection


def start_child(program: str, arguments: list[str], fds: list[int]) -> int:
    """Run `-c PROGRAM ...` in a child of this process that leads a process group, without standard input.

    Its last arguments are the numbers that `fds` have there. Returns its id. On Linux only: a process that
    is forked twice is an orphan once the one between has ended, and this process takes it on.
    """
    with open(os.devnull) as nothing, _adoption:
        _adopt_orphans(True)
        try:
            streams = [nothing.fileno(), 1, 2, *fds]
            with (
                ask(streams, ["-c", program, *arguments], Path.cwd(), as_child=True) as connection,
                connection.makefile() as answers,
            ):
                # To the end: then the one between has been waited for.
                said = answers.read().splitlines()
        finally:
            _adopt_orphans(False)
    [pid] = [int(line.removeprefix(CHILD)) for line in said if line.startswith(CHILD)]
    return pid


CHILD = "child "
"""How the line with the id of a child begins."""
_adoption = threading.Lock()


def _adopt_orphans(adopt: bool) -> None:
    """Whether what this process's children leave behind is this process's, or else that of who started it."""
    PR_SET_CHILD_SUBREAPER = 36
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def stand_in(script: Path, folder: Path) -> None:
    """Make a program in `folder` that runs `script`, which is Python, in a fork; it has the same name."""
    program = folder / script.name
    program.write_text(_STAND_IN.format(python=sys.executable, address=str(address()), script=str(script)))
    program.chmod(0o755)


_STAND_IN = """#!{python} -ISs
import _socket, array, marshal, os, sys
connection = _socket.socket(_socket.AF_UNIX)
connection.connect({address!r})
streams = array.array("i", [0, 1, 2])
connection.sendmsg([b"."], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
connection.sendall(marshal.dumps(([{script!r}, *sys.argv[1:]], os.getcwd(), dict(os.environ), False)))
connection.shutdown(_socket.SHUT_WR)
for stream in streams:
    os.close(stream)  # Whoever is at the other end has to do with the fork alone.
answers = b""
while more := connection.recv(100):
    answers += more
code = int(answers.split()[1])
if code < 0:
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@cache
def address() -> Path:
    """Where the process that forks listens; it is started with the first question for it."""
    folder = tempfile.mkdtemp(prefix="preloaded-")
    # Its standard input is held open and closed with this process, whatever ends it.
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(Path(__file__)), folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )

    def end(owner: int = os.getpid()) -> None:
        if os.getpid() == owner:  # and not a fork of it
            process.communicate()
            shutil.rmtree(folder)

    atexit.register(end)

    assert process.stdout is not None
    assert process.stdout.readline() == b"listening\n"
    return Path(folder) / "socket"


# -- the process that forks ---------------------------------------------------------------------
def serve(folder: Path) -> Request | None:
    """Fork for every program that is asked for. Returns what to run in the fork, and None at the end."""
    ended, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, socket.socket] = {}
    gc.freeze()  # A fork leaves alone, and goes on sharing, what is here by now.
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
        listening.listen(100)
        print("listening", flush=True)
        while sys.stdin not in (ready := select.select([sys.stdin, listening, ended], [], [])[0]):
            if listening in ready:
                connection, _ = listening.accept()
                pid = os.fork()
                if not pid:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for one in running.values():
                        one.close()
                    with connection:
                        return take_over(connection)
                running[pid] = connection
                answer(connection, pid)
            if ended in ready:
                os.read(ended, 1000)
                for pid, code in reaped():
                    with running.pop(pid) as connection:
                        answer(connection, code)
    return None


def answer(connection: socket.socket, number: int) -> None:
    """Tell who asked; nobody may be there any more."""
    with contextlib.suppress(OSError):
        connection.sendall(f"{number}\n".encode())


def reaped() -> Iterator[tuple[int, int]]:
    """The programs that have ended, with their exit codes."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            yield found[0], os.waitstatus_to_exitcode(found[1])


def take_over(connection: socket.socket) -> Request:
    """In a fork: have the streams of who asked as one's own. Returns what to run."""
    _, streams, _, _ = socket.recv_fds(connection, 1, 100)
    for number, stream in enumerate(streams[:3]):
        os.dup2(stream, number)
        os.close(stream)
    with connection.makefile("rb") as sent:
        arguments, folder, environment, as_child = marshal.loads(sent.read())
    if as_child:
        between = os.getpid()
        if pid := os.fork():
            connection.sendall(f"{CHILD}{pid}\n".encode())
            os._exit(0)
        os.setpgid(0, 0)
        while os.getppid() == between:  # A worker that has another parent than it was told ends.
            time.sleep(0.0002)
    return [*arguments, *map(str, streams[3:])], folder, environment, as_child


def become(arguments: list[str], folder: str, environment: dict[str, str], as_child: bool) -> None:
    """Run the program, as Python would, with standard streams that know nothing of those before."""
    for name, mode, buffering in (("stdin", "r", -1), ("stdout", "w", -1), ("stderr", "w", 1)):
        old = getattr(sys, name)
        new = open(old.fileno(), mode, buffering, encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    if arguments[0] == "-m":
        sys.argv[:], sys.path[0] = arguments[1:], folder
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv[:], sys.path[0] = ["-c", *arguments[2:]], ""
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(arguments[1], vars(main))
    else:
        sys.argv[:], sys.path[0] = arguments, str(Path(arguments[0]).parent)
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    for module in ENGINE:
        importlib.import_module(module)
    asked = serve(Path(sys.argv[1]))
    if asked is not None:
        become(*asked)
