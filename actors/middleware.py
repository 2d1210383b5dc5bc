"""Functions around every command and every query: authorisation, logging, tenancy, retries.

A middleware is a generator function of one ``Call``::

    @shop.around_command(order=10)
    def audit(call):
        call.metadata["user"] = current_user()   # on the caller's thread, before the command goes in
        outcome = yield                          # the inner ones and the command itself; their error is raised here
        log.info("%s at %s", call.message, outcome.position)

What is raised before the ``yield`` refuses the call. Each further ``yield`` runs it again. A value that is
returned, if not None, replaces the outcome, and one returned without any ``yield`` answers the call. An error of
the inner call that is neither replaced by an outcome nor made up for by a further ``yield`` is raised again, caught
or not. A lower ``order`` is further out; equal ones nest as declared.

The first part runs on the caller's thread; after a ``submit`` the later parts run on an executor's, never on the
writer's. The three drivers below differ in how they wait only; ``_Drive`` knows the protocol.
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import Executor, Future
from typing import Any

from actors.errors import MiddlewareFailed, SystemClosed
from actors.read_model import name_of
from actors.running import Calls

__all__ = ["Call", "Middleware", "arun", "run", "submit"]


class Call:
    """One command or query on its way in. Middleware may change every part of it before its ``yield``.

    ``options`` are the keyword arguments of ``execute`` or ``query``; ``metadata`` is stored with the events.
    """

    __slots__ = ("kind", "message", "metadata", "options")

    def __init__(
        self,
        message: Any,
        metadata: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        kind: str = "command",
    ) -> None:
        self.message = message
        self.metadata: dict[str, Any] = {} if metadata is None else metadata
        self.options: dict[str, Any] = {} if options is None else options
        self.kind = kind

    def __repr__(self) -> str:
        return f"Call({self.kind} {self.message!r})"


Middleware = Callable[[Call], Generator[None, Any, Any]]


def run(
    chain: Sequence[Middleware], call: Call, terminal: Callable[[Call], Any], calls: Calls | None = None
) -> Any:
    """Run the call through the chain and return its outcome; everything runs on the caller's thread.

    `calls` is told, here and below, of each middleware for as long as it runs.
    """
    if not chain:
        return terminal(call)
    drive = _Drive(chain, call, calls)
    while drive.pending:
        try:
            outcome = terminal(call)
        except BaseException as error:
            drive.failed(error)
        else:
            drive.succeeded(outcome)
    return drive.result()


async def arun(
    chain: Sequence[Middleware],
    call: Call,
    terminal: Callable[[Call], Awaitable[Any]],
    calls: Calls | None = None,
) -> Any:
    """``run`` with a terminal that is awaited; everything runs in the event loop's thread."""
    if not chain:
        return await terminal(call)
    drive = _Drive(chain, call, calls)
    while drive.pending:
        try:
            outcome = await terminal(call)
        except BaseException as error:
            drive.failed(error)
        else:
            drive.succeeded(outcome)
    return drive.result()


def submit(
    chain: Sequence[Middleware],
    call: Call,
    terminal: Callable[[Call], Future[Any]],
    executor: Executor,
    calls: Calls | None = None,
) -> Future[Any]:
    """``run`` with a terminal that gives a future; returns at once with a future of the outcome.

    The first part runs here, what follows a ``yield`` on ``executor`` (in a copy of the caller's context).
    A refusal is in the future too. The future can't be cancelled: the call is on its way.
    """
    if not chain:
        return terminal(call)
    drive = _Drive(chain, call, calls)
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    context = contextvars.copy_context()

    def go_on() -> None:
        while drive.pending:
            try:
                inner = terminal(call)
            except BaseException as error:
                drive.failed(error)
            else:
                inner.add_done_callback(hand_over)
                return
        try:
            future.set_result(drive.result())
        except Exception as error:
            future.set_exception(error)
        except BaseException as error:
            future.set_exception(error)
            raise

    def hand_over(inner: Future[Any]) -> None:
        try:
            executor.submit(context.run, resume, inner)
        except RuntimeError as error:
            closed = SystemClosed(
                f"{call.kind} {type(call.message).__name__} was handled, but the system closed before its "
                "middleware could finish"
            )
            closed.__cause__ = error
            future.set_exception(closed)

    def resume(inner: Future[Any]) -> None:
        try:
            outcome = inner.result()
        except BaseException as error:
            drive.failed(error)
        else:
            drive.succeeded(outcome)
        go_on()

    go_on()
    return future


class _Drive:
    """The protocol: which generator runs next, and with what. While ``pending``, the terminal is to be called."""

    __slots__ = ("_call", "_calls", "_chain", "_error", "_outcome", "_stack", "pending")

    def __init__(self, chain: Sequence[Middleware], call: Call, calls: Calls | None) -> None:
        self._chain = chain
        self._call = call
        self._calls = Calls() if calls is None else calls
        self._stack: list[Generator[None, Any, Any]] = []
        self._outcome: Any = None
        self._error: BaseException | None = None
        self.pending = True
        self._advance(down=True)

    def succeeded(self, outcome: Any) -> None:
        self._outcome, self._error = outcome, None
        self._advance(down=False)

    def failed(self, error: BaseException) -> None:
        self._outcome, self._error = None, error
        self._advance(down=False)

    def result(self) -> Any:
        """The outcome of the whole chain, or its error raised."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # the traceback holds this frame, which must not hold the error
        return self._outcome

    def _advance(self, down: bool) -> None:
        """Go down, starting generators, and up, giving each the outcome of what is below it; one that yields
        again turns it down once more. Stops where the terminal's turn is, or above the outermost one."""
        message = type(self._call.message).__name__
        slot = self._calls.slot("middleware", f"around {self._call.kind} {message}", name_of)
        try:
            while True:
                if down and len(self._stack) == len(self._chain):
                    self.pending = True
                    return
                if not down and not self._stack:
                    self.pending = False
                    return
                slot.begin(self._chain[len(self._stack) - (not down)])
                down = self._start() if down else self._give()
        finally:
            self._calls.drop(slot)

    def _start(self) -> bool:
        middleware = self._chain[len(self._stack)]
        try:
            generator = middleware(self._call)
            next(generator)
        except StopIteration as stop:
            self._outcome, self._error = stop.value, None
            if stop.value is None:
                self._error = MiddlewareFailed(
                    f"middleware {getattr(middleware, '__qualname__', middleware)} neither yielded nor returned an "
                    f"outcome for {self._call!r}; yield to go on, return an outcome to answer, raise to refuse"
                )
            return False
        except BaseException as error:
            self._outcome, self._error = None, error
            return False
        self._stack.append(generator)
        return True

    def _give(self) -> bool:
        generator = self._stack[-1]
        try:
            if self._error is not None:
                generator.throw(self._error)
            else:
                generator.send(self._outcome)
        except StopIteration as stop:
            if stop.value is not None:
                self._outcome, self._error = stop.value, None
        except BaseException as error:
            self._outcome, self._error = None, error
        else:
            return True
        self._stack.pop()
        return False
