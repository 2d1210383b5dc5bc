"""Work that no Ctrl-C reaches: Python raises it in the main thread alone, so it is done in another one.

Of the caller nothing is asked but to wait, in one call of C: a Condition or an Event of `threading` may stay locked where
an interrupt comes at its end, and a thread that is being started may never be told that it has.
"""

from __future__ import annotations

import _thread
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress

__all__ = ["Flag", "Undisturbed"]

LOOK_AGAIN = 0.5


class Flag:
    """As a `threading.Event`, for waits that an interrupt must not break: whoever sets it never finds it locked."""

    __slots__ = ("_gate", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._gate = _thread.allocate_lock()
        self._gate.acquire()

    def is_set(self) -> bool:
        """Whether it is set. Any thread."""
        return self._is_set

    def set(self) -> None:
        """Let everybody through, from now on. Any thread."""
        self._is_set = True
        # It may be set already, or whoever came through lets the next one in.
        with suppress(RuntimeError):
            self._gate.release()

    def clear(self) -> None:
        """Hold up whoever waits from now on; nobody waits, and nobody sets it meanwhile."""
        self._gate.acquire(False)
        self._is_set = False

    def wait(self, timeout: float = math.inf) -> bool:
        """Whether it is set within `timeout` seconds. Any thread."""
        end = time.monotonic() + timeout
        while not self._is_set:
            left = end - time.monotonic()
            # Another waiter may have been interrupted when it had come through: it lets nobody else in.
            if self._gate.acquire(True, min(max(left, 0.0), LOOK_AGAIN)):
                with suppress(RuntimeError):
                    self._gate.release()
            elif left <= 0:
                break
        return self._is_set


class Undisturbed:
    """One piece of work, done once, in a thread of its own; where none can be had, in the caller's."""

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        self._name = name
        self._work = work
        self._claim = _thread.allocate_lock()
        self._over = Flag()
        self._error: BaseException | None = None
        self._untold: BaseException | None = None

    def begin(self) -> None:
        """Have it begun, if it is not; a call that was interrupted may be repeated."""
        try:
            _thread.start_new_thread(self._start, ())
        except RuntimeError:
            self._run()

    def _start(self) -> None:
        # A real one: others ask which thread they are in, and what says so of this one would never go.
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except RuntimeError:
            self._run()

    def _run(self) -> None:
        if not self._claim.acquire(False):
            return
        try:
            self._work()
        except BaseException as error:
            self._error = self._untold = error
        finally:
            self._over.set()

    def wait(self, timeout: float = math.inf) -> bool:
        """Whether it is over within `timeout` seconds."""
        return self._over.wait(timeout)

    def do(self) -> None:
        """Have it done, and wait for that. Raises what it does."""
        self.begin()
        self._over.wait()
        self.tell()

    def tell(self) -> None:
        """Raise what it raised, once."""
        error, self._untold = self._untold, None
        if error is not None:
            raise error

    @property
    def was_interrupted(self) -> bool:
        """Whether it did not come to its end, and is to be done again."""
        error = self._error
        return isinstance(error, MemoryError) or not isinstance(error, Exception | None)

    def give_up(self) -> None:
        """Wait until it is over; have it never begin if it has not."""
        if self._claim.acquire(False):
            self._over.set()
        self._over.wait()
