"""A call that Ctrl-C can't interrupt: Python raises KeyboardInterrupt in the main thread alone, so another
thread makes it.

The caller only waits, in one call of C: a Condition or an Event of `threading` may stay locked where an
interrupt comes at its end, and the start of a thread may be interrupted after the thread has begun.
"""

from __future__ import annotations

import _thread
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress

__all__ = ["InterruptSafeEvent", "UninterruptedCall"]

LOOK_AGAIN = 0.5
"""Seconds between two looks of a waiter that another one may have failed to let through."""


class InterruptSafeEvent:
    """A `threading.Event` that an interrupted wait can't break: `set` never finds it locked."""

    __slots__ = ("_gate", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._gate = _thread.allocate_lock()
        self._gate.acquire()

    def is_set(self) -> bool:
        """Whether it is set. Any thread."""
        return self._is_set

    def set(self) -> None:
        """Let all waiters through, from now on. Any thread."""
        self._is_set = True
        # It may be set already, or a waiter that came through has let the next one in.
        with suppress(RuntimeError):
            self._gate.release()

    def clear(self) -> None:
        """Block all waits from now on; to be called while nobody waits for it or sets it."""
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


class UninterruptedCall:
    """One call of `work`, made once, in a thread of its own; in the caller's where no thread can be
    started.
    """

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        self._name = name
        self._work = work
        self._claim = _thread.allocate_lock()
        self._over = InterruptSafeEvent()
        self._error: BaseException | None = None
        self._unraised: BaseException | None = None

    def start(self) -> None:
        """Start it, unless it has started; may be called again after an interrupt."""
        try:
            _thread.start_new_thread(self._start_thread, ())
        except RuntimeError:
            self._run()

    def _start_thread(self) -> None:
        # A thread of `threading`: a bare one that asks for its own name stays in its list of threads for
        # ever.
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
            self._error = self._unraised = error
        finally:
            self._over.set()

    def wait(self, timeout: float = math.inf) -> bool:
        """Whether it ends within `timeout` seconds."""
        return self._over.wait(timeout)

    def run(self) -> None:
        """Start it and wait for its end. Raises what `work` raised."""
        self.start()
        self._over.wait()
        self.raise_error()

    def raise_error(self) -> None:
        """Raise what `work` raised; once, so a second call raises nothing."""
        error, self._unraised = self._unraised, None
        if error is not None:
            raise error

    @property
    def was_interrupted(self) -> bool:
        """Whether `work` was cut short, and is to be done again."""
        error = self._error
        return isinstance(error, MemoryError) or not isinstance(error, Exception | None)

    def cancel(self) -> None:
        """Keep it from starting; where it has started, wait for its end."""
        if self._claim.acquire(False):
            self._over.set()
        self._over.wait()
