"""A folder that is thrown away at the end, also where a signal ends the program in the very moment of its making."""

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

__all__ = ["SIGNALS", "ThrowawayFolder", "throwaway_folder"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Those that ask a program to end."""


@contextmanager
def throwaway_folder(prefix: str) -> Iterator[str]:
    """Yield the path of a new, empty folder among the system's temporary files; afterwards it is gone with all in it.

    A signal that comes between its making and the moment from which somebody knows of it waits that long, in a
    program whose only thread this is.
    """
    with ExitStack() as stack:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            folder = stack.enter_context(TemporaryDirectory(prefix=prefix))
        finally:
            # What waited is handled here, where the stack knows the folder.
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield folder


class ThrowawayFolder:
    """A folder among the system's temporary files whose name is known before it is made, so that it can always be removed.

    At the end of the program it is gone in any case.
    """

    def __init__(self, prefix: str) -> None:
        """Make nothing yet."""
        self.name = os.path.join(tempfile.gettempdir(), f"{prefix}{uuid4().hex}")
        weakref.finalize(self, shutil.rmtree, self.name, ignore_errors=True)

    def make(self) -> None:
        """Make it, for its owner alone. Raises OSError."""
        os.mkdir(self.name, 0o700)

    def cleanup(self) -> None:
        """Remove it with all in it, if it is there."""
        shutil.rmtree(self.name, ignore_errors=True)
