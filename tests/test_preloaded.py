"""A forked program has what one that is started has: streams, arguments, folder, environment and its end."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests import preloaded


def test_it_has_its_own_streams_arguments_folder_and_environment(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import os, sys\n"
        "print(sys.argv[1:], os.path.samefile('.', sys.path[0]), os.environ, sys.stdin.read())\n"
        "print('an error', file=sys.stderr)\n"
        "sys.exit(7)\n"
    )
    for arguments in ([str(tmp_path / "program.py"), "a"], ["-m", "program", "a"]):
        done = preloaded.run(arguments, tmp_path, stdin=b"read", environment={"ONE": "1"})
        assert done.stdout == "['a'] True environ({'ONE': '1'}) read\n"
        assert (done.returncode, done.stderr) == (7, "an error\n")


def test_a_warning_is_an_error_and_a_traceback_ends_it(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("import warnings\nwarnings.warn('old', DeprecationWarning)\n")
    (tmp_path / "program.py").write_text("import module\n")
    done = preloaded.run([str(tmp_path / "program.py")], tmp_path)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "DeprecationWarning: old")


def test_a_signal_ends_it_alone(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    for _ in range(2):
        assert preloaded.run([str(tmp_path / "program.py")], tmp_path).returncode == -9


def test_what_does_not_end_is_killed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import signal\nsignal.pause()\n")
    with pytest.raises(subprocess.TimeoutExpired):
        preloaded.run([str(tmp_path / "program.py")], tmp_path, timeout=0.5)


def test_a_program_of_the_shell_that_stands_in_for_a_script(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("import sys\nprint(sys.argv[1], sys.stdin.read())\nsys.exit(3)\n")
    (tmp_path / "there").mkdir()
    preloaded.stand_in(tmp_path / "script", tmp_path / "there")
    shown = subprocess.run(
        ["sh", "-c", "echo given | there/script it | cat; echo x | there/script 2 > /dev/null; echo $?"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (shown.stdout, shown.stderr) == ("it given\n\n3\n", "")
