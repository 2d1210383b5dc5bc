"""A directory that is removed at the end, even when a signal arrives just as it is made."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory
from uuid import uuid4

__all__ = ["SIGNALS", "DeferredDirectory", "temporary_directory"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask a program to end."""


@contextmanager
def temporary_directory(prefix: str, folder: str | None = None) -> Iterator[str]:
    """Yield the path of a new, empty temporary directory, and remove it with its contents afterwards.

    It is in `folder`, or where temporary files are.

    A signal that arrives while the directory is made is handled once it is certain to be removed. This holds
    for the main thread of a program that has no other thread yet.
    """
    with ExitStack() as stack:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            path = stack.enter_context(TemporaryDirectory(prefix=prefix, dir=folder))
        finally:
            # A signal that was held back is handled here: from now on the stack removes the directory.
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield path


class DeferredDirectory:
    """A temporary directory whose name is known before it is made, so that it can always be removed.

    It is removed at the end of the program at the latest.
    """

    def __init__(self, prefix: str) -> None:
        """Choose a name that begins with `prefix`; make nothing yet."""
        self.name = os.path.join(tempfile.gettempdir(), f"{prefix}{uuid4().hex}")
        weakref.finalize(self, shutil.rmtree, self.name, ignore_errors=True)

    def make(self) -> None:
        """Make it, readable for its owner alone. Raises OSError."""
        os.mkdir(self.name, 0o700)

    def cleanup(self) -> None:
        """Remove it with its contents, if it is there."""
        shutil.rmtree(self.name, ignore_errors=True)
