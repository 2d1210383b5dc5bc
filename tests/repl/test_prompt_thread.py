"""Signals while a line is being edited: none of them is lost, nor is a line that is on its way."""

from __future__ import annotations

import os
import pty
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("prompt_toolkit")

from actors.repl import prompt_thread
from actors.repl.prompt_thread import LinePrompt
from tests.helpers import PATIENCE


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Standard input is a terminal."""
    main, other = pty.openpty()
    with os.fdopen(other) as standard_input:
        monkeypatch.setattr(sys, "stdin", standard_input)
        monkeypatch.setattr(prompt_thread, "patch_stdout", lambda raw: nullcontext())
        # Whoever runs the tests in the background has it ignored.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)
    os.close(main)


class Editor:
    """A prompt_toolkit session that has its line immediately, and whose application does not run any more."""

    app = SimpleNamespace(loop=None, future=None, is_done=True)

    def prompt(self, pre_run: Callable[[], None]) -> str:
        pre_run()
        return "a line"


class Interrupted(LinePrompt):
    """Ctrl-C comes before the editor has begun, just before the line is handed over, or just after it."""

    def __init__(self, when: str) -> None:
        editor: Any = Editor()
        super().__init__(editor)
        self._when = when
        self.sent = threading.Event()
        self.noted = threading.Event()

    def _on_start(self) -> None:
        if self._when == "before the editor began":
            self._send()
        super()._on_start()
        if self._when == "before the line":
            self._send()

    def _edit(self, outcome: queue.SimpleQueue[Any]) -> None:
        super()._edit(outcome)
        if self._when == "after the line":
            self._send()

    def _send(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)
        self.sent.set()
        if self._when != "after the line":
            assert self.noted.wait(PATIENCE)

    def _interrupt(self, *arguments: Any) -> None:
        super()._interrupt(*arguments)
        self.noted.set()


def test_a_line_is_read_and_ctrl_c_is_the_programs_again_after_the_session() -> None:
    editor: Any = Editor()
    before = signal.getsignal(signal.SIGINT)
    with LinePrompt(editor) as prompt:
        assert prompt.read() == "a line"
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_before_the_editor_has_on_start_is_not_about_the_line_that_is_typed_then() -> None:
    with Interrupted("before the editor began") as prompt:
        assert prompt.read() == "a line"
        assert prompt.noted.is_set()


def test_ctrl_c_while_a_line_is_on_its_way_is_told() -> None:
    with Interrupted("before the line") as prompt, pytest.raises(KeyboardInterrupt):
        prompt.read()


def test_ctrl_c_as_a_line_arrives_is_told_then_or_not_about_the_next_one_and_nobody_waits_for_ever() -> None:
    with Interrupted("after the line") as prompt:
        for _ in range(30):
            prompt.sent.clear()
            with suppress(KeyboardInterrupt):
                assert prompt.read() == "a line"
            assert prompt.sent.wait(PATIENCE)


def test_ctrl_c_is_raised_while_a_statement_is_carried_out_and_only_then() -> None:
    editor: Any = Editor()
    with LinePrompt(editor) as prompt:
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt), prompt.interruptible():
                signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            assert prompt.read() == "a line"


def test_what_a_handler_raises_ends_the_editor(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    class Loop:
        def call_soon_threadsafe(self, what: Any) -> None:
            what()

    class Running(Editor):
        def __init__(self) -> None:
            self.app = SimpleNamespace(loop=Loop(), future=object(), is_done=False, exit=self.exit)

        def prompt(self, pre_run: Callable[[], None]) -> str:
            pre_run()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
            assert ended.wait(PATIENCE)
            raise EOFError

        def exit(self, exception: BaseException) -> None:
            assert isinstance(exception, EOFError)
            ended.set()

    def leave(number: int, _frame: Any) -> None:
        raise SystemExit(number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        editor: Any = Running()
        with LinePrompt(editor) as prompt, pytest.raises(SystemExit):
            prompt.read()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.is_set()
