"""A session at a terminal: typed, completed, interrupted, ended; and its history."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers import PATIENCE

pytest.importorskip("prompt_toolkit")
pytest.importorskip("rich")

PROJECT = Path(__file__).parents[2]
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """A session under a pseudo terminal of 150 columns."""

    def __init__(self, state: Path, *arguments: str, first: str = "") -> None:
        """`first` is what the child does before the session begins."""
        self._main, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 150, 0, 0))
        environment = {
            **os.environ,
            "PYTHONPATH": str(PROJECT),
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "TERM": "xterm",
            "XDG_STATE_HOME": str(state),
            "TMPDIR": str(state),
        }
        # The child makes the terminal its own, so that Ctrl-C is a signal to it, even where whoever runs
        # the tests ignores it, as a shell has what it starts in the background do.
        start = "import fcntl, runpy, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        start += "signal.signal(signal.SIGINT, signal.default_int_handler); "
        start += f"{first}; " if first else ""
        start += (
            "sys.argv = ['actors', 'repl', *sys.argv[1:]]; runpy.run_module('actors', run_name='__main__')"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", start, *arguments],
            stdin=other,
            stdout=other,
            stderr=other,
            env=environment,
            cwd=PROJECT,
            start_new_session=True,
        )
        os.close(other)
        self._held = ""

    def echoes(self) -> bool:
        """Whether the terminal shows what is typed by itself, as it does when no editor has it."""
        return bool(termios.tcgetattr(self._main)[3] & termios.ECHO)

    def type(self, text: str) -> None:
        os.write(self._main, text.encode())

    def until(self, text: str) -> str:
        """What came up to and with `text`; waits for it."""
        end = time.monotonic() + PATIENCE
        while text not in self._held:
            ready, _, _ = select.select([self._main], [], [], max(end - time.monotonic(), 0))
            assert ready, f"{text!r} did not come; there is {self._held!r}"
            self._held = _CONTROL.sub("", self._held + self._read())
        before, _, self._held = self._held.partition(text)
        return before + text

    def _read(self) -> str:
        try:
            data = os.read(self._main, 65536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""
        assert data, f"the session ended; there is {self._held!r}"
        return data.decode(errors="replace")

    def close(self) -> None:
        """Close the window; the session ends by itself."""
        if self._main >= 0:
            os.close(self._main)
            self._main = -1
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def open_terminal(tmp_path: Path) -> Iterator[Callable[[str], Terminal]]:
    """Opens sessions whose process does something first; they are closed after the test."""
    opened: list[Terminal] = []

    def open_one(first: str) -> Terminal:
        opened.append(Terminal(tmp_path, first=first))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def terminal(open_terminal: Callable[[str], Terminal]) -> Terminal:
    return open_terminal("")


LAMP = 'ListProduct sku=lamp name="Desk lamp" category=light price=1999'


def test_a_command_is_typed_and_the_session_quit(terminal: Terminal, tmp_path: Path) -> None:
    assert "this store is thrown away at the end" in terminal.until("shop>")
    terminal.type(f"{LAMP}\r")
    terminal.until("done; product-lamp is at version 1")
    terminal.until("ProductListed(")
    terminal.until("shop>")
    terminal.type(":quit\r")
    assert terminal.process.wait(PATIENCE) == 0
    history = tmp_path / "onewriter" / "history"
    assert f"+{LAMP}\n" in history.read_text()
    assert history.parent.stat().st_mode & 0o777 == 0o700


def test_errors_do_not_end_the_session_and_ctrl_d_does(terminal: Terminal) -> None:
    terminal.until("shop>")
    terminal.type("RepriceProduct lamp 5\r")
    terminal.until("Rejected [product.unknown]")
    terminal.until("shop>")
    terminal.type("Nonsense (\r")
    terminal.until("...")
    terminal.type(")\r")
    terminal.until("UsageError: there is no command or query Nonsense")
    terminal.until("shop>")
    terminal.type("\x04")
    assert terminal.process.wait(PATIENCE) == 0


def test_tab_completes_and_open_brackets_go_on_in_the_next_line(terminal: Terminal) -> None:
    terminal.until("shop>")
    terminal.type(f"{LAMP}\r")
    terminal.until("ProductListed(")
    terminal.until("shop>")
    terminal.type("Repr\t")
    terminal.until("iceProduct")
    terminal.type("(\r")
    terminal.until("...")
    terminal.type("lamp, pri\t")
    terminal.until("ce=")
    terminal.type("5)\r")
    terminal.until('ProductRepriced(sku="lamp", price=5)')


def test_ctrl_c_ends_a_watch_and_not_the_session(terminal: Terminal) -> None:
    terminal.until("shop>")
    terminal.type(f"{LAMP}\r")
    terminal.until("ProductListed(")
    terminal.until("shop>")
    terminal.type(":watch Cheapest\r")
    terminal.until("1 row at position 1")
    terminal.until("1999")
    terminal.type("\x03")
    terminal.until("Cheapest is no longer watched")
    terminal.until("shop>")
    terminal.type(":quit\r")
    assert terminal.process.wait(PATIENCE) == 0


def test_a_watch_in_the_background_shows_changes_above_the_line(terminal: Terminal) -> None:
    terminal.until("shop>")
    terminal.type(f"{LAMP}\r")
    terminal.until("ProductListed(")
    terminal.until("shop>")
    terminal.type(":watch Cheapest --background\r")
    terminal.until("Cheapest: 1 row at position 1")
    terminal.until("shop>")
    terminal.type("RepriceProduct lamp 5\r")
    terminal.until("Cheapest: 1 row at position 2")


def test_a_closed_window_ends_the_session_and_throws_its_store_away(
    terminal: Terminal, tmp_path: Path
) -> None:
    terminal.until("shop>")
    assert list(tmp_path.glob("onewriter-repl-*"))
    terminal.close()
    assert not list(tmp_path.glob("onewriter-repl-*"))


def test_a_polite_kill_at_the_prompt_gives_the_terminal_back_and_throws_the_store_away(
    terminal: Terminal, tmp_path: Path
) -> None:
    terminal.until("shop>")
    assert not terminal.echoes()
    terminal.process.terminate()
    assert terminal.process.wait(PATIENCE) == 128 + signal.SIGTERM
    assert terminal.echoes()
    assert not list(tmp_path.glob("onewriter-repl-*"))


def test_an_interrupt_sent_to_the_prompt_drops_the_line_and_not_the_session(terminal: Terminal) -> None:
    terminal.until("shop>")
    terminal.type("Nonsense")
    terminal.until("Nonsense")
    terminal.process.send_signal(signal.SIGINT)
    terminal.until("shop>")
    terminal.type(":quit\r")
    assert terminal.process.wait(PATIENCE) == 0


def test_ctrl_c_right_after_a_line_was_entered_loses_neither_the_line_nor_the_session(
    terminal: Terminal,
) -> None:
    for _ in range(10):
        terminal.until("shop>")
        terminal.type("Cheapest\r")
        terminal.type("\x03")
    terminal.until("shop>")
    terminal.type("\x03:quit\r")
    assert terminal.process.wait(PATIENCE) == 0


def test_a_closed_window_ends_a_session_whose_editor_does_not_end(
    open_terminal: Callable[[str], Terminal], tmp_path: Path
) -> None:
    # As one that waits to draw on a terminal that is gone.
    never = "import prompt_toolkit, threading; "
    never += "prompt_toolkit.PromptSession.prompt = "
    never += "lambda *_, **__: print('stuck', flush=True) or threading.Event().wait()"
    terminal = open_terminal(never)
    terminal.until("stuck")
    terminal.close()
    assert not list(tmp_path.glob("onewriter-repl-*"))


def test_a_closed_window_ends_a_session_that_is_not_told_of_it(
    open_terminal: Callable[[str], Terminal], tmp_path: Path
) -> None:
    deaf = "signal.signal = lambda *_: None"
    terminal = open_terminal(f"signal.signal(signal.SIGHUP, signal.SIG_IGN); {deaf}")
    terminal.until("shop>")
    terminal.close()
    assert terminal.process.returncode == 0
    assert not list(tmp_path.glob("onewriter-repl-*"))


def test_a_session_in_json_replies_with_a_document_a_line(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "--json")
    try:
        terminal.until("shop>")
        terminal.type("Cheapest 1\r")
        terminal.until('{"query": "Cheapest", "result": [], "position": 0}')
        terminal.until("shop>")
        terminal.type("Nonsense\r")
        terminal.until("UsageError: there is no command or query Nonsense")
        terminal.until("shop>")
        terminal.type(":quit\r")
        assert terminal.process.wait(PATIENCE) == 0
    finally:
        terminal.close()


# -- history ------------------------------------------------------------------------------
def test_a_history_that_can_not_be_written_is_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from actors.repl.interactive import open_history

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    history = open_history()
    history.append_string("Cheapest")
    assert history.get_strings() == ["Cheapest"]


def test_a_history_whose_file_goes_away_ends_no_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from actors.repl.interactive import open_history

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    history = open_history()
    history.append_string("one")
    (tmp_path / "onewriter" / "history").unlink()
    (tmp_path / "onewriter").rmdir()
    history.append_string("two")
    assert history.get_strings() == ["one", "two"]
