"""The resources that an opening acquires; all are released even if it is interrupted. The opener's thread.

An interrupt (Ctrl-C, a lack of memory) may come between any two lines. So the slot of a resource is
registered first, and the statement that acquires the resource stores it there: the result of a Python
function is stored before an interrupt can come.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

__all__ = ["Descriptor", "OpeningResources", "ResourceSlot", "sync_directory"]

T = TypeVar("T")


class ResourceSlot(Generic[T]):
    """Holds one resource: set `resource` in the statement that acquires it. `release_with` releases it."""

    __slots__ = ("release_with", "resource")

    def __init__(self, release_with: Callable[[T], object]) -> None:
        self.resource: T | None = None
        self.release_with = release_with

    def release(self) -> None:
        """Release the resource, if there is one. If interrupted, it can be called again.

        Further calls do nothing.
        """
        if self.resource is not None:
            self.release_with(self.resource)
            self.resource = None


class OpeningResources:
    """Everything that one opening has acquired so far, in order."""

    __slots__ = ("_releases",)

    def __init__(self) -> None:
        self._releases: list[Callable[[], object]] = []

    def on_release(self, release: Callable[[], object]) -> None:
        """Call `release` at the end, even if there is nothing to release by then.

        If interrupted, it is called again.
        """
        self._releases.append(release)

    def slot(self, release_with: Callable[[T], object]) -> ResourceSlot[T]:
        """A slot for one resource, which `release_with` releases."""
        slot = ResourceSlot(release_with)
        self._releases.append(slot.release)
        return slot

    def release(self) -> None:
        """Release everything, the last first.

        An error does not prevent the release of the others; the first error is raised at the end. If it is
        interrupted, or out of memory, the next call continues.
        """
        failure: Exception | None = None
        while self._releases:
            try:
                self._releases[-1]()
            except MemoryError:
                raise
            except Exception as error:
                failure = failure or error
            self._releases.pop()
        if failure is not None:
            raise failure

    def roll_back(self) -> None:
        """As `release`, for an opening that failed: its own error matters, errors of releasing do not."""
        while self._releases:
            try:
                self.release()
            except MemoryError:
                self._releases.pop()  # This one was tried; those below may need no memory.
            except Exception:
                return


class Descriptor:
    """An open file's number, which is closed at the end of a `with` block or when the object is collected."""

    __slots__ = ("_numbers",)

    def __init__(self, path: str | os.PathLike[str], flags: int, mode: int = 0o600) -> None:
        """Open `path` as `os.open` does. Raises OSError."""
        self._numbers: list[int] = []
        self._numbers.append(os.open(path, flags | os.O_CLOEXEC, mode))

    @property
    def number(self) -> int:
        """The number, for calls of `os`. Raises ValueError once it is closed."""
        if not self._numbers:
            raise ValueError("the descriptor is closed")
        return self._numbers[0]

    def close(self) -> None:
        """Close it; a second call does nothing."""
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
    """Write a directory to disk: a file's own fsync does not cover its directory entry. Raises OSError."""
    with Descriptor(path, os.O_RDONLY | os.O_DIRECTORY) as number:
        os.fsync(number)
