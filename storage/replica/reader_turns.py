"""Turns for readers of data that a batch changes in place: no reader waits for ever. Any thread.

A reader that finds a batch in progress waits for its end and tries again. If the next batch was faster, the
reader takes a turn: the batch after that waits until the reader has read. Any thread.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from storage.engines.base import ModelStore, TryAgain
from storage.errors import StorageError

__all__ = ["ReaderTurns"]

PATIENCE = 10.0
"""The longest time in seconds that a reader waits."""

LOOK_AGAIN = 0.5
"""Seconds after which a waiter checks by itself: the thread that should notify it may be interrupted."""

T = TypeVar("T")


class ReaderTurns:
    """The turns of the replica in the directory `path`. Wait before you take any of the replica's locks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()  # never held during a wait
        self._commit: threading.Lock | None = None
        """Locked until the end of the commit in progress."""
        self._turn: threading.Lock | None = None
        """One reader's turn, locked until its end.

        Readers create their own, so each knows it even after an interrupt.
        """

    def wait_for_readers(self) -> None:
        """Wait until no reader has a turn. The thread that applies, before a batch."""
        while (turn := self._turn) is not None:
            _await(turn, LOOK_AGAIN)

    @contextmanager
    def commit(self) -> Iterator[None]:
        """A batch is committed within this block. Readers wait outside, as long as their time allows.

        The thread that applies events, before it takes the lock that keeps readers out.
        """
        mine = threading.Lock()
        mine.acquire()
        try:
            self._commit = mine
            yield
        finally:
            self._commit = None
            mine.release()

    def run(self, attempt: Callable[[ModelStore | None], T], end: float = math.inf) -> T:
        """Call `attempt` until it does not raise TryAgain; its argument is the store that was waited for.

        Waits until `end`, a monotonic time, but at most `PATIENCE`; then raises StorageError. Raises what
        `attempt` raises.
        """
        end = min(end, time.monotonic() + PATIENCE)
        self._await_commit(end)
        try:
            return attempt(None)
        except TryAgain as busy:
            waited = self._awaited(busy, end)
        while True:
            try:
                return self._in_turn(attempt, waited, end)
            except TryAgain as busy:
                waited = self._awaited(busy, end)

    def _in_turn(self, attempt: Callable[[ModelStore | None], T], waited: ModelStore, end: float) -> T:
        """As `run`, with a turn. Raises TryAgain if it takes many batches until there are data to read.

        Raises StorageError after `end`.
        """
        mine = threading.Lock()
        mine.acquire()
        try:
            while not self._takes(mine):
                if (turn := self._turn) is not None:
                    _await(turn, min(self._left(end), LOOK_AGAIN))
            while True:
                self._await_commit(end)
                try:
                    return attempt(waited)
                except TryAgain as busy:
                    if busy.refilling:
                        raise
                    waited = self._awaited(busy, end)
        finally:
            if self._turn is mine:
                self._turn = None
            mine.release()

    def _await_commit(self, end: float) -> None:
        """Raises StorageError after `end`."""
        while (commit := self._commit) is not None:
            _await(commit, min(self._left(end), LOOK_AGAIN))

    def _takes(self, mine: threading.Lock) -> bool:
        with self._lock:
            if self._turn is None:
                self._turn = mine
            return self._turn is mine

    def _awaited(self, busy: TryAgain, end: float) -> ModelStore:
        busy.store.await_readable(self._left(end))
        return busy.store

    def _left(self, end: float) -> float:
        """The seconds until `end`. Raises StorageError after it."""
        left = end - time.monotonic()
        if left < 0:
            raise StorageError(f"{self._path} could not be read at one moment in time; try again")
        return left


def _await(turn: threading.Lock, seconds: float) -> None:
    """Wait for the end of another reader's turn.

    An interrupt in between delays the next waiter only until that one checks again.
    """
    if turn.acquire(timeout=seconds):
        turn.release()
