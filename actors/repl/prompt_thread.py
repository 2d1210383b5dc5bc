"""A line from the terminal, edited in a thread of its own; the main thread waits for it.

Python handles signals in the main thread, wherever it is. Raised inside prompt_toolkit's event loop, the end
of a session could be lost there, with the loop waiting for a terminal that is gone. So the loop has its own
thread.
"""

from __future__ import annotations

import queue
import signal
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

from prompt_toolkit import PromptSession
from prompt_toolkit.patch_stdout import patch_stdout

__all__ = ["LinePrompt"]

ROUND = 0.5
"""Seconds after which at the latest a wait notices a signal, or that the terminal is gone."""
EXIT_TIMEOUT = 2.0
"""Seconds that an editor gets to restore the terminal when the session ends under it."""
EXIT_RETRY = 0.1
"""Seconds after which it is asked again: it may not have started before."""
GONE = "the terminal is gone"

Outcome = str | BaseException


class LinePrompt:
    """Reads lines with `session`; a context manager, inside which it handles Ctrl-C. For the main thread.

    Between the editor's last key and its line Ctrl-C is a signal. It is noted and not raised, as the line
    could be lost, and `read` would wait for it for ever. Inside `interruptible` it is raised immediately.
    """

    def __init__(self, session: PromptSession[str]) -> None:
        self._session = session
        self._interrupted = False
        self._raising = False
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_error: object) -> None:
        signal.signal(signal.SIGINT, self._before or signal.SIG_DFL)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Ctrl-C raises KeyboardInterrupt inside."""
        self._raising = True
        try:
            yield
        finally:
            self._raising = False

    def read(self) -> str:
        """The next line, or several where brackets are open.

        Raises KeyboardInterrupt at Ctrl-C, EOFError at Ctrl-D and when the terminal is gone, and what a
        signal's handler raises. The terminal is restored before.
        """
        self._raising = self._interrupted = False
        outcome = self._edited()
        if self._interrupted:
            raise KeyboardInterrupt
        if isinstance(outcome, OSError) and _modes() is None:
            raise EOFError(GONE) from outcome
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _edited(self) -> Outcome:
        outcome: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        editor = threading.Thread(target=self._edit, args=(outcome,), name="onewriter-prompt", daemon=True)
        modes = _modes()
        # What a watch shows meanwhile goes above the line that is being typed.
        with patch_stdout(raw=True):
            try:
                editor.start()
                while True:
                    try:
                        return outcome.get(timeout=ROUND)
                    except queue.Empty:
                        if _modes() is None:
                            raise EOFError(GONE) from None
            except BaseException:
                self._end_editor(editor, modes)
                raise

    def _edit(self, outcome: queue.SimpleQueue[Outcome]) -> None:
        try:
            outcome.put(self._session.prompt(pre_run=self._on_start))
        except BaseException as error:
            outcome.put(error)

    def _on_start(self) -> None:
        """The editor's thread: an earlier interrupt does not concern the line that is typed from now on."""
        self._interrupted = False

    # -- ending it from outside --------------------------------------------------------------
    def _interrupt(self, *_signal: Any) -> None:
        if self._raising:
            raise KeyboardInterrupt
        self._interrupted = True
        self._in_editor(lambda: self._session.app.key_processor.send_sigint())

    def _in_editor(self, what: Callable[[], None]) -> None:
        """Have the editor's thread call it, if it is still editing then."""
        app = self._session.app
        loop = app.loop

        def do() -> None:
            if app.future is not None and not app.is_done:
                what()

        with suppress(RuntimeError):  # a loop that is closed has nothing left to end
            if loop is not None:
                loop.call_soon_threadsafe(do)

    def _end_editor(self, editor: threading.Thread, modes: list[Any] | None) -> None:
        end = time.monotonic() + EXIT_TIMEOUT
        while editor.is_alive() and time.monotonic() < end:
            self._in_editor(lambda: self._session.app.exit(exception=EOFError()))
            editor.join(EXIT_RETRY)
        if editor.is_alive() and modes is not None:
            with suppress(termios.error):
                termios.tcsetattr(sys.stdin, termios.TCSANOW, modes)


def _modes() -> list[Any] | None:
    """How the terminal is set; None when it is gone."""
    try:
        return termios.tcgetattr(sys.stdin)
    except termios.error:
        return None
