"""A line from the terminal, edited in a thread of its own; the main thread waits for it.

Python handles signals in the main thread, wherever that is. Raised inside prompt_toolkit's event loop, the end of a
session could be lost there, with the loop waiting for a terminal that is gone; so the loop runs beside it.
"""

from __future__ import annotations

import queue
import sys
import termios
import threading
from contextlib import suppress

from prompt_toolkit import PromptSession
from prompt_toolkit.patch_stdout import patch_stdout

__all__ = ["LinePrompt"]

ROUND = 0.5
"""Seconds after which at the latest a wait notices a signal, or that the terminal is gone."""
LEAVING = 2.0
"""Seconds that an editor gets to put the terminal in order when the session ends under it."""
GONE = "the terminal is gone"


class LinePrompt:
    """Reads lines with `session`. Its methods are for the main thread."""

    def __init__(self, session: PromptSession[str]) -> None:
        self._session = session
        self._outcome: queue.SimpleQueue[str | BaseException] = queue.SimpleQueue()

    def read(self) -> str:
        """The next line, or several where brackets are open.

        Raises KeyboardInterrupt at Ctrl-C, EOFError at Ctrl-D and when the terminal is gone, and whatever a signal's
        handler raises; the terminal is as it was before then.
        """
        modes = _modes()
        editor = threading.Thread(target=self._edit, name="onewriter-prompt", daemon=True)
        # What a watch shows meanwhile goes above the line that is being typed.
        with patch_stdout(raw=True):
            editor.start()
            try:
                outcome = self._wait()
            except BaseException:
                self._leave(editor, modes)
                raise
        if isinstance(outcome, OSError) and _modes() is None:
            raise EOFError(GONE) from outcome
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _edit(self) -> None:
        try:
            self._outcome.put(self._session.prompt())
        except BaseException as error:
            self._outcome.put(error)

    def _wait(self) -> str | BaseException:
        while True:
            try:
                return self._outcome.get(timeout=ROUND)
            except queue.Empty:
                if _modes() is None:
                    raise EOFError(GONE) from None
            except KeyboardInterrupt:
                # A signal, not the key: what the key does is for the editor to do.
                self._tell(self._session.app.key_processor.send_sigint)

    def _tell(self, what: object) -> None:
        loop = self._session.app.loop
        with suppress(RuntimeError):  # a loop that is closed has nothing left to end
            if loop is not None:
                loop.call_soon_threadsafe(what)  # type: ignore[arg-type]

    def _leave(self, editor: threading.Thread, modes: list[object] | None) -> None:
        def end() -> None:
            if not self._session.app.is_done:
                self._session.app.exit(exception=EOFError())

        self._tell(end)
        editor.join(LEAVING)
        if editor.is_alive() and modes is not None:
            with suppress(termios.error):
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, modes)  # type: ignore[arg-type]


def _modes() -> list[object] | None:
    """How the terminal is set; None when it is gone."""
    try:
        return termios.tcgetattr(sys.stdin)
    except termios.error:
        return None
