"""Turns for readers of data that a batch changes in place: no reader waits for ever, though batch follows batch.

A reader that finds a batch under way waits for its end and tries again. Where the next batch was faster, the reader takes
a turn: the batch after that waits until the reader has read. Any thread.
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
"""Seconds that a reader waits at most."""

LOOK_AGAIN = 0.5
"""Seconds after which a waiter looks for itself: another one may have been interrupted when it had come through."""

T = TypeVar("T")


class ReaderTurns:
    """Of the replica in the directory `path`. To be waited for before any of the replica's locks is acquired."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()  # never held while anything is waited for
        self._commit: threading.Lock | None = None
        """Locked until the end of the commit that is under way."""
        self._turn: threading.Lock | None = None
        """The turn of one reader, locked until its end. Each reader makes its own, so it knows its turn even after an interrupt."""

    def wait_for_readers(self) -> None:
        """Wait until no reader has a turn. The thread that applies, before a batch."""
        while (turn := self._turn) is not None:
            _await(turn, LOOK_AGAIN)

    @contextmanager
    def commit(self) -> Iterator[None]:
        """A batch is committed within this block, which no reader may enter: they wait as long as their time goes.

        The thread that applies, before it acquires the lock that keeps readers out.
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
        """What `attempt` returns once it does not raise TryAgain; its argument is the store that was waited for.

        Waits until `end`, a monotonic time, or for `PATIENCE`. Raises StorageError after that, and what `attempt` does.
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
        """Raises TryAgain where it takes many batches until there is something to be read, StorageError after `end`."""
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
    """Wait for the end of another's turn. Interrupted in between, it keeps the next waiter only until that looks again."""
    if turn.acquire(timeout=seconds):
        turn.release()
