"""Functions around every command and every query: authorisation, logging, tenancy, retries.

A middleware is a generator function of one ``Call``::

    @shop.around_command(order=10)
    def audit(call):
        call.metadata["user"] = current_user()   # on the caller's thread, before the command goes in
        outcome = yield                  # the inner ones and the command itself; their error is raised here
        log.info("%s at %s", call.message, outcome.position)

What is raised before the ``yield`` refuses the call. Each further ``yield`` runs it again. A value that is
returned, if not None, replaces the outcome, and one returned without any ``yield`` answers the call. An error
of the inner call that is neither replaced by an outcome nor made up for by a further ``yield`` is raised
again, caught or not. A lower ``order`` is further out; equal ones nest as declared.

The first part runs on the caller's thread; after a ``submit`` the later parts run on a pool's, never on the
writer's. The drivers, ``run`` and ``arun`` below and ``submit`` in `actors.writer.submit_middleware`, differ
in how they wait only; ``Drive`` knows the protocol.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any

from actors.domain.source_location import name_of
from actors.errors import (
    CommandTimeout,
    ConsistencyTimeout,
    DeadlineExceeded,
    MiddlewareFailed,
    Overloaded,
    QueryTimeout,
)
from actors.kernel.running_calls import CallSlot, RunningCalls

__all__ = ["ROUNDS_AFTER_TIME", "Call", "Drive", "Middleware", "arun", "run"]

ROUNDS_AFTER_TIME = 100
"""Errors for too little time or room: after them a call is not run again, so a middleware that retries
forever ends.
"""

_TIME_OVER = (CommandTimeout, DeadlineExceeded, Overloaded, QueryTimeout, ConsistencyTimeout)


class Call:
    """One command or query on its way in. Middleware may change every part of it before its ``yield``.

    ``options`` are the keyword arguments of ``execute`` or ``query``. Those of a command have its
    ``command_id``: the one that the caller gave (then ``id_given`` is true), or one that was made for this
    call, however often it is tried. ``metadata`` is stored with the events.
    """

    __slots__ = ("_merged", "_sent", "id_given", "kind", "message", "metadata", "options")

    def __init__(
        self,
        message: Any,
        metadata: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        kind: str = "command",
        id_given: bool = False,
    ) -> None:
        self.message = message
        self.metadata: dict[str, Any] = {} if metadata is None else metadata
        self.options: dict[str, Any] = {} if options is None else options
        self.kind = kind
        self.id_given = id_given
        self._merged: Any = None
        self._sent: Any = None

    def merge(self, message: Any) -> None:
        """Have a command go in that was made of the one that was sent, which the id goes on standing for."""
        self._sent = self.sent
        self._merged = self.message = message

    @property
    def sent(self) -> Any:
        """The message that the command id belongs to: this one, or the one that it was merged from."""
        return self._sent if self._merged is not None and self.message is self._merged else self.message

    def __repr__(self) -> str:
        return f"Call({self.kind} {self.message!r})"


Middleware = Callable[[Call], Generator[None, Any, Any]]


def run(
    chain: Sequence[Middleware],
    call: Call,
    terminal: Callable[[Call], Any],
    calls: RunningCalls | None = None,
) -> Any:
    """Run the call through the chain and return its outcome; everything runs on the caller's thread.

    `calls` is notified, here and below, of each middleware for as long as it runs.
    """
    if not chain:
        return terminal(call)
    drive = Drive(chain, call, calls)
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
    calls: RunningCalls | None = None,
) -> Any:
    """``run`` with a terminal that is awaited; everything runs in the event loop's thread."""
    if not chain:
        return await terminal(call)
    drive = Drive(chain, call, calls)
    while drive.pending:
        try:
            outcome = await terminal(call)
        except BaseException as error:
            drive.failed(error)
        else:
            drive.succeeded(outcome)
    return drive.result()


class Drive:
    """The protocol: which generator runs next, and with what. While it is ``pending``, call the terminal."""

    __slots__ = ("_call", "_calls", "_chain", "_error", "_late", "_outcome", "_slot", "_stack", "pending")

    def __init__(self, chain: Sequence[Middleware], call: Call, calls: RunningCalls | None) -> None:
        self._chain = chain
        self._call = call
        self._calls = RunningCalls() if calls is None else calls
        self._slot = CallSlot("middleware", f"around {call.kind} {type(call.message).__name__}", name_of)
        self._stack: list[Generator[None, Any, Any]] = []
        self._outcome: Any = None
        self._error: BaseException | None = None
        self._late = 0
        self.pending = True
        self._advance(down=True)

    def succeeded(self, outcome: Any) -> None:
        self._outcome, self._error = outcome, None
        self._advance(down=False)

    def failed(self, error: BaseException) -> None:
        self._outcome, self._error = None, error
        if isinstance(error, _TIME_OVER):
            self._late += 1
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
        slot, stack, chain = self._slot, self._stack, self._chain
        self._calls.add(slot)
        try:
            while True:
                if down:
                    if len(stack) == len(chain):
                        self.pending = True
                        return
                    slot.begin(chain[len(stack)])
                    down = self._start()
                else:
                    if not stack:
                        self.pending = False
                        return
                    slot.begin(chain[len(stack) - 1])
                    down = self._give()
        finally:
            slot.end()
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
                    f"middleware {getattr(middleware, '__qualname__', middleware)} neither yielded nor "
                    "returned an "
                    f"outcome for {self._call!r}; yield to go on, return an outcome to answer, raise to "
                    "refuse"
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
            if self._error is None or self._late < ROUNDS_AFTER_TIME:
                return True
            self._end(generator)
        self._stack.pop()
        return False

    def _end(self, generator: Generator[None, Any, Any]) -> None:
        """Have a middleware end that would try for ever; the error that it was given last is the outcome."""
        error = self._error
        try:
            generator.close()
        except BaseException as raised:
            error = raised
        self._outcome, self._error = None, error
