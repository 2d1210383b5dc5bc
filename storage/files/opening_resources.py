"""What an opening takes, noted before it is taken: whatever interrupts the opening, all of it is given back.

An interrupt (Ctrl-C, a lack of memory) may come between any two lines. So what is taken is stored in the statement that
takes it, in a room that was noted before; what a Python function returned is stored before anything can come between.
The opener's thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

__all__ = ["Descriptor", "Room", "Taken", "sync_directory"]

T = TypeVar("T")


class Room(Generic[T]):
    """Room for one thing that is about to be taken: set `thing` in the statement that takes it. `end` ends it."""

    __slots__ = ("end", "thing")

    def __init__(self, end: Callable[[T], object]) -> None:
        self.thing: T | None = None
        self.end = end

    def give_back(self) -> None:
        """End what is there. Interrupted, it can be called again; the next call after the end does nothing."""
        if self.thing is not None:
            self.end(self.thing)
            self.thing = None


class Taken:
    """Everything that one opening has taken so far, in order. Each is given back by what can be called again."""

    __slots__ = ("_notes",)

    def __init__(self) -> None:
        self._notes: list[Callable[[], object]] = []

    def note(self, give_back: Callable[[], object]) -> None:
        """Have `give_back` called at the end, whether or not what it gives back has been taken by then."""
        self._notes.append(give_back)

    def room(self, end: Callable[[T], object]) -> Room[T]:
        """Room for one thing, which `end` ends."""
        room = Room(end)
        self._notes.append(room.give_back)
        return room

    def give_back(self) -> None:
        """Give everything back, the last first.

        What fails keeps nothing else from it; the first error is raised at the end. Interrupted, or without memory, it
        goes on where it was when it is called again.
        """
        failure: Exception | None = None
        while self._notes:
            try:
                self._notes[-1]()
            except MemoryError:
                raise
            except Exception as error:
                failure = failure or error
            self._notes.pop()
        if failure is not None:
            raise failure

    def undo(self) -> None:
        """As `give_back`, for an opening that failed: only that error is of interest."""
        while self._notes:
            try:
                self.give_back()
            except MemoryError:
                self._notes.pop()  # It has been tried; what is below may need none.
            except Exception:
                return


class Descriptor:
    """An open file's number, which is given back at the end of a `with` block, or when nobody knows of it any more."""

    __slots__ = ("_numbers",)

    def __init__(self, path: str | os.PathLike[str], flags: int, mode: int = 0o600) -> None:
        """Open `path` as `os.open` does. Raises OSError."""
        self._numbers: list[int] = []
        self._numbers.append(os.open(path, flags | os.O_CLOEXEC, mode))

    @property
    def number(self) -> int:
        """The number, for calls of `os`. Raises ValueError once it is given back."""
        if not self._numbers:
            raise ValueError("the descriptor is closed")
        return self._numbers[0]

    def close(self) -> None:
        """Give it back; a second call does nothing."""
        while self._numbers:
            os.close(self._numbers.pop())

    def __del__(self) -> None:
        if hasattr(self, "_numbers"):
            self.close()

    def __enter__(self) -> int:
        return self.number

    def __exit__(self, *_: object) -> None:
        self.close()


def sync_directory(path: Path) -> None:
    """Bring a directory to the disk: a file's own fsync does not cover its entry there. Raises OSError."""
    with Descriptor(path, os.O_RDONLY | os.O_DIRECTORY) as number:
        os.fsync(number)
