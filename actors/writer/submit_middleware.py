"""Middleware around a `submit`: no caller waits, so what follows a ``yield`` runs on a pool's threads.

It runs turn by turn: a turn ends where the call is handed over (again), and the next one begins when the
outcome is there. A call in flight holds no thread.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from actors.domain.middleware import Call, Drive, Middleware
from actors.errors import SystemClosed
from actors.kernel.running_calls import RunningCalls
from actors.kernel.thread_pool import Job

__all__ = ["Pool", "submit"]


class Pool(Protocol):
    """Threads for what follows a ``yield`` after a ``submit``."""

    def submit(self, job: Job, /) -> Any:
        """Have a job done soon; never waits. Raises `RuntimeError` where the pool is closed."""


def submit(
    chain: Sequence[Middleware],
    call: Call,
    terminal: Callable[[Call], Future[Any]],
    pool: Pool,
    calls: RunningCalls | None = None,
) -> Future[Any]:
    """``run`` with a terminal that returns a future; returns at once, with a future of the outcome.

    The first part runs here, what follows a ``yield`` on ``pool`` (in a copy of the caller's context). A
    refusal is in the future too. The future can't be cancelled: the call is in flight.
    """
    if not chain:
        return terminal(call)
    drive = Drive(chain, call, calls)
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    _Submitted(drive, call, terminal, pool, future).go_on()
    return future


class _Submitted:
    """A call that was submitted. Its first turn runs on the caller's thread, the next ones on the pool's."""

    __slots__ = ("_call", "_drive", "_future", "_pool", "_terminal")

    def __init__(
        self,
        drive: Drive,
        call: Call,
        terminal: Callable[[Call], Future[Any]],
        pool: Pool,
        future: Future[Any],
    ) -> None:
        self._drive = drive
        self._call = call
        self._terminal = terminal
        self._pool = pool
        self._future = future

    def go_on(self) -> None:
        """Hand the call over, or settle the future where that is not to be."""
        drive = self._drive
        while drive.pending:
            try:
                inner = self._terminal(self._call)
            except BaseException as error:
                drive.failed(error)
            else:
                # For the next turn alone, as it may begin, in its own thread, before this one has left its
                # context.
                context = contextvars.copy_context()
                inner.add_done_callback(partial(self._hand_over, context))
                return
        try:
            self._future.set_result(drive.result())
        except Exception as error:
            self._future.set_exception(error)
        except BaseException as error:
            self._future.set_exception(error)
            raise

    def _hand_over(self, context: contextvars.Context, inner: Future[Any]) -> None:
        """The outcome is there. The thread that settles it, usually the writer's, must not wait or fail."""
        try:
            self._pool.submit(_Turn(self, context, inner))
        except RuntimeError as error:
            self.fail(self.closed(error))
        except BaseException as error:
            self.fail(error)

    def resume(self, inner: Future[Any]) -> None:
        """The next turn, with the outcome of the one before."""
        try:
            outcome = inner.result()
        except BaseException as error:
            self._drive.failed(error)
        else:
            self._drive.succeeded(outcome)
        self.go_on()

    def fail(self, error: BaseException) -> None:
        """Settle the future, unless it is."""
        with suppress(InvalidStateError):
            self._future.set_exception(error)

    def closed(self, cause: BaseException | None = None) -> SystemClosed:
        """The error where there is no thread any more for the next turn."""
        closed = SystemClosed(
            f"{self._call.kind} {type(self._call.message).__name__} was handled, but the system closed "
            "before its "
            "middleware could finish"
        )
        closed.__cause__ = cause
        return closed


class _Turn:
    """The job of a pool: one turn of a call that was submitted. Whatever it dies of is the call's outcome."""

    __slots__ = ("_context", "_inner", "_submitted")

    def __init__(self, submitted: _Submitted, context: contextvars.Context, inner: Future[Any]) -> None:
        self._submitted = submitted
        self._context = context
        self._inner = inner

    def __call__(self) -> None:
        try:
            self._context.run(self._submitted.resume, self._inner)
        except BaseException as error:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """As `Job.fail`."""
        self._submitted.fail(error)

    def give_up(self) -> None:
        """As `Job.give_up`."""
        self._submitted.fail(self._submitted.closed())
