"""How a signal ends the demo: on Ctrl-C, SIGTERM and SIGHUP the store is closed and, if temporary, removed.

Only on the main thread.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from actors.cli.temporary_directory import SIGNALS


class Stopped(BaseException):
    """A signal asked the demo to end; `code` is the exit code that says so."""

    def __init__(self, number: int) -> None:
        self.code = 128 + number
        super().__init__(
            "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
        )


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Inside, the first such signal raises `Stopped`, and further ones do not disturb the closing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        for one in held:
            signal.signal(one, signal.SIG_IGN)
        asked.append(number)
        raise Stopped(number)

    asked: list[int] = []

    # What was ignored stays so: a demo under nohup outlives its terminal.
    held = {one: before for one in SIGNALS if (before := signal.getsignal(one)) is not signal.SIG_IGN}
    for one in held:
        signal.signal(one, stop)
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        # SQLite turns it into KeyboardInterrupt in callbacks that have no way to raise.
        if asked:
            raise Stopped(asked[0]) from error
        raise
    finally:
        for one, before in held.items():
            signal.signal(one, before)
    # It was raised inside a callback, of SQLite for example, that ignores it or raises an error of its own.
    if asked:
        raise Stopped(asked[0])
