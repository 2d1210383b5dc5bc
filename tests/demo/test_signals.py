"""The demo as a process: ended before its time it says so in one line, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from actors.__main__ import main
from actors.demo.signals import Stopped, stop_on_signals
from tests.helpers import wait_until

PROJECT = Path(__file__).parents[2]


def demo(folder: Path, *arguments: str, **options: object) -> subprocess.Popen[str]:
    """Begin the demo with `folder` as the place for temporary files."""
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-m", "actors", "demo", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env={**os.environ, "TMPDIR": str(folder)},
        # Whoever runs the tests in the background has these ignored.
        preexec_fn=lambda: [signal.signal(one, signal.SIG_DFL) for one in (signal.SIGINT, signal.SIGHUP)],
        **options,
    )


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGINT, "interrupted"),
        (signal.SIGTERM, "ended by SIGTERM"),
        (signal.SIGHUP, "ended by SIGHUP"),
    ],
)
@pytest.mark.parametrize("begun", ["onewriter-demo-*", "onewriter-demo-*/store/replicas/replica-3/data.mdb"])
def test_a_signal_ends_it_with_one_line_and_the_store_thrown_away(
    tmp_path: Path, number: signal.Signals, said: str, begun: str
) -> None:
    with demo(tmp_path, stdout=subprocess.DEVNULL) as process:
        assert process.stderr is not None
        wait_until(lambda: list(tmp_path.glob(begun)))
        process.send_signal(number)
        assert process.stderr.read() == f"{said}\n"
        assert process.wait(60) == 128 + number
    assert list(tmp_path.iterdir()) == []


def test_a_signal_that_was_taken_for_ctrl_c_ends_it_as_the_signal_that_it_was() -> None:
    def swallow() -> None:
        with suppress(Stopped):
            signal.raise_signal(signal.SIGTERM)
        raise KeyboardInterrupt

    with pytest.raises(Stopped, match="ended by SIGTERM") as caught, stop_on_signals():
        swallow()
    assert caught.value.code == 143


def test_ctrl_c_without_a_signal_stays_what_it_is() -> None:
    with pytest.raises(KeyboardInterrupt), stop_on_signals():
        raise KeyboardInterrupt


def test_a_signal_whose_exception_was_swallowed_ends_it_all_the_same() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped) as caught, stop_on_signals(), suppress(Stopped):
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_was_made_another_error_ends_it_as_a_signal() -> None:
    db = sqlite3.connect(":memory:")

    def asked(*_: object) -> int:
        signal.raise_signal(signal.SIGTERM)
        return sqlite3.SQLITE_OK

    db.set_authorizer(asked)
    with pytest.raises(Stopped) as caught, stop_on_signals():
        db.execute("SELECT 1")
    db.close()
    assert caught.value.code == 143
    assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)
    with pytest.raises(ValueError, match="mine"), stop_on_signals():
        raise ValueError("mine")


def test_an_interrupt_while_the_program_is_being_imported_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("actors.__main__.import_module", interrupted)
    assert main(["demo"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_report_that_can_not_be_written_ends_it_with_one_line(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full, demo(tmp_path, "--limit", "50", stdout=full) as process:
        _, errors = process.communicate(timeout=60)
    assert errors == "OSError: [Errno 28] No space left on device\n"
    assert process.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_has_enough_ends_it_without_a_word(tmp_path: Path) -> None:
    with demo(tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 1
    assert list(tmp_path.iterdir()) == []
