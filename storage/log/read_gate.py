"""A gate that separates many short reads from work that must run while nothing is read. Any thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from storage.errors import StorageError, StoreClosed

PATIENCE = 30.0
"""Seconds that a read waits for `exclusive` to end, and that `exclusive` waits for reads to end."""


class ReadGate:
    """Read within `with gate:`.

    Reads wait while a thread is in `exclusive`, and are refused once it is closed.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        # Reentrant, so that an interrupted close may be repeated.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._inside: list[None] = []
        self._exclusive = False
        self._closed = False

    def __enter__(self) -> None:
        # Without the lock: an interrupt at the end of a block that holds it would leave it locked for ever.
        # Who is inside is noted before the look, and `exclusive` does the two in the other order.
        self._inside.append(None)
        if self._exclusive or self._closed:
            self._leave()
            with self._lock:
                if self._exclusive or self._closed:
                    self._wait_outside()
                self._inside.append(None)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        self._inside.pop()
        if self._exclusive and not self._inside:
            with self._lock:
                self._changed.notify_all()

    @property
    def wanted(self) -> bool:
        """Whether a thread is in `exclusive` or `close`, or waits for it: who stays inside has to leave."""
        return self._exclusive or self._closed

    def _wait_outside(self) -> None:
        if not self._changed.wait_for(lambda: self._closed or not self._exclusive, PATIENCE):
            raise StorageError(f"{self._what} has been blocked for {PATIENCE:.0f} s; try again")
        if self._closed:
            raise StoreClosed(f"{self._what} is closed")

    @contextmanager
    def exclusive(self, patience: float | None = None) -> Iterator[None]:
        """Keep readers out during the block, which begins when the last one has left.

        Only one thread at a time may do so. Raises StorageError if a reader stays for `patience` seconds, by
        default 30.
        """
        with self._lock:
            self._await_empty(patience)
        try:
            yield
        finally:
            with self._lock:
                self._open_again()

    def close(self) -> None:
        """Keep readers out for ever; returns when the last one has left. Raises as `exclusive` does.

        A second call does nothing.
        """
        with self._lock:
            if not self._closed:
                self._await_empty()
                self._closed = True
                self._open_again()

    def _await_empty(self, patience: float | None = None) -> None:
        patience = PATIENCE if patience is None else patience
        self._exclusive = True
        try:
            if not self._changed.wait_for(lambda: not self._inside, patience):
                raise StorageError(f"a reader of {self._what} has not finished for {patience:g} s")
        except BaseException:
            self._open_again()
            raise

    def _open_again(self) -> None:
        self._exclusive = False
        self._changed.notify_all()
