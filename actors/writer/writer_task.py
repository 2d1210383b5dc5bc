"""Work on the log that is done in the writer's thread, between two batches."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import InvalidStateError
from contextlib import suppress
from typing import Any

from actors.kernel.mailbox import Request
from actors.kernel.reply import Reply

__all__ = ["WriterTask"]


class WriterTask(Request):
    """A function and the future of its result. It is called once at most, and not after `future.cancel()`."""

    __slots__ = ("_work", "error", "future", "weight")

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self.future: Reply[Any] = Reply()
        self.error: BaseException | None = None
        """What the function raised."""
        self.weight = 1

    def run(self) -> None:
        """Do it. The writer's thread. Raises what ends that thread."""
        if not self.future.begin():
            return
        try:
            result = self._work()
        except BaseException as error:
            self.error = error
            self.fail(error)
            if not isinstance(error, Exception):
                raise
        else:
            self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Answer with `error`."""
        with suppress(InvalidStateError):
            self.future.set_exception(error)
