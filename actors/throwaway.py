"""A folder that is thrown away at the end, also where a signal ends the program in the very moment of its making."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory

__all__ = ["SIGNALS", "throwaway_folder"]

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
