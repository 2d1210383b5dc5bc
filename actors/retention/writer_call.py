"""Having the writer do a recorded operation, and waiting for it. Callers' threads."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from actors.errors import CommandTimeout
from actors.writer.call_errors import overloaded
from actors.writer.log_operation import LogOperation

if TYPE_CHECKING:
    from actors.runtime.parts import Parts

__all__ = ["ask_writer"]


def ask_writer(parts: Parts, operation: LogOperation, timeout: float) -> Any:
    """The result of an operation. Raises what it raises, Overloaded, CommandTimeout, CommitUncertain,
    OpenedForReading, SystemClosed.
    """
    mailbox = parts.command_client.mailbox
    end = time.monotonic() + timeout
    if not mailbox.offer(operation, timeout):
        raise overloaded(mailbox)
    future = operation.future
    try:
        return future.result(max(end - time.monotonic(), 0.0))
    except (TimeoutError, CancelledError):
        if future.cancel():
            raise CommandTimeout(
                "",
                f"the writer did not come to it within {timeout:g} s before {operation.what}; nothing was "
                "written; look at health() what it is busy with, then do it again",
            ) from None
    raise CommandTimeout("", f"no reply within {timeout:g} s whether {operation.what}: {operation.find_out}")
