"""A session: a caller that reads its own writes and never goes back in time, whatever replica answers.

Callers' threads and event loops. All that a session knows is one position, so a token can carry it on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from actors.errors import ConcurrencyConflict, Rejected
from actors.kernel.closeable import Closeable
from actors.kernel.reply import Reply
from actors.queries.options import After
from actors.queries.query_client import QueryClient
from actors.queries.session_position import SessionPosition
from actors.receipt import Receipt
from actors.system.commands import CommandMethods
from actors.system.queries import QueryMethods
from actors.writer.options import AppendOptions, CommandOptions, ManyOptions

__all__ = ["Session", "SessionMethods"]

Outcome = TypeVar("Outcome")


class Session(QueryMethods, Closeable):
    """Commands and reads of one caller, from `System.session()`; the methods are the system's.

    Each read shows at least what this session's commands wrote before it started, what the session's reads
    that ended before it started have shown, and what a refusal (`Rejected`, `ConcurrencyConflict`) of its
    commands was based on. Any number of threads and tasks may share a session; it promises nothing about
    reads that run at the same time.

    After `CommandTimeout` or `CommitUncertain` it is unknown whether there is a write, so reads may show it
    or not. Execute the command again in this session with the `command_id` of the error: its receipt settles
    it.
    """

    def __init__(self, commands: CommandMethods, queries: QueryClient, position: int = 0) -> None:
        """For `System.session`: what it writes and reads through, and where it starts."""
        self._commands = commands
        self._seen = SessionPosition(position)
        self._queries = queries.for_session(self._seen)
        self._outcomes = _Outcomes(self._seen, self._queries)

    @property
    def position(self) -> int:
        """The next read shows at least everything up to this position."""
        return self._seen.value

    @property
    def token(self) -> str:
        """The position as text, safe in URLs and cookies, for `System.session` and `after=` in any process
        that opens this store. Take it after the calls have returned whose outcome is to be seen there. Raises
        `SystemClosed`.
        """
        return self._queries.token(self._seen.value)

    # -- commands ----------------------------------------------------------------------------
    def execute(self, command: Any, **options: Unpack[CommandOptions]) -> Receipt:
        """As `System.execute`; later reads of this session see it."""
        with self._outcomes as outcomes:
            return outcomes.noted(self._commands.execute(command, **options))

    async def aexecute(self, command: Any, **options: Unpack[CommandOptions]) -> Receipt:
        """As `System.aexecute`; later reads of this session see it."""
        with self._outcomes as outcomes:
            return outcomes.noted(await self._commands.aexecute(command, **options))

    def submit(self, command: Any, **options: Unpack[CommandOptions]) -> Future[Receipt]:
        """As `System.submit`; reads that start once the future is done see it, even if nobody reads it."""
        return _SessionReply(self._outcomes, self._commands.submit(command, **options))

    def execute_many(
        self, commands: Iterable[Any], *, return_exceptions: bool = False, **options: Unpack[ManyOptions]
    ) -> list[Any]:
        """As `System.execute_many`; later reads of this session see all of them that were written."""
        with self._outcomes as outcomes:
            return outcomes.all_noted(
                self._commands.execute_many(commands, return_exceptions=return_exceptions, **options)
            )

    async def aexecute_many(
        self, commands: Iterable[Any], *, return_exceptions: bool = False, **options: Unpack[ManyOptions]
    ) -> list[Any]:
        """As `System.aexecute_many`; later reads of this session see all of them that were written."""
        with self._outcomes as outcomes:
            return outcomes.all_noted(
                await self._commands.aexecute_many(commands, return_exceptions=return_exceptions, **options)
            )

    def append(self, stream: str, events: Sequence[Any], **options: Unpack[AppendOptions]) -> Receipt:
        """As `System.append`; later reads of this session see it."""
        with self._outcomes as outcomes:
            return outcomes.noted(self._commands.append(stream, events, **options))

    def close(self) -> None:
        """Nothing to release: a session is a position, and can be used after its block too."""


class _Outcomes:
    """Notes the outcomes of a session's commands; the errors too, in its `with` block. Any thread."""

    __slots__ = ("_queries", "_seen")

    def __init__(self, seen: SessionPosition, queries: QueryClient) -> None:
        self._seen = seen
        self._queries = queries

    def noted(self, outcome: Outcome) -> Outcome:
        """Note an outcome, and return it; middleware may have replaced the receipt by anything."""
        if isinstance(outcome, Receipt):
            self._seen.reach(outcome.position)
        elif isinstance(outcome, Rejected | ConcurrencyConflict):
            # A refusal waits for the commit of what it is based on, which therefore is at the head or before.
            self._seen.reach(self._queries.head)
        return outcome

    def all_noted(self, outcomes: list[Any]) -> list[Any]:
        """Note them all, and return them."""
        for outcome in outcomes:
            self.noted(outcome)
        return outcomes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.all_noted([error, *getattr(error, "outcomes", ())])


class _SessionReply(Reply[Receipt]):
    """The future of a session's `submit`: done once the session knows the outcome, never before."""

    def __init__(self, outcomes: _Outcomes, inner: Future[Receipt]) -> None:
        super().__init__()
        self._outcomes = outcomes
        self._inner = inner
        inner.add_done_callback(self._follow)

    def cancel(self) -> bool:
        """As `Future.cancel`: a command that is not decided yet is then not executed."""
        return self._inner.cancel()

    def running(self) -> bool:
        """As `Future.running`."""
        return self._inner.running()

    def _follow(self, inner: Future[Receipt]) -> None:
        if inner.cancelled():
            super().cancel()
            return
        error = inner.exception()
        try:
            self._outcomes.noted(inner.result() if error is None else error)
        except BaseException as failed:  # The thread that settles the other future would swallow it.
            error = failed
        if error is None:
            self.set_result(inner.result())
        else:
            self.set_exception(error)


class SessionMethods(CommandMethods):
    """Sessions."""

    def session(self, position: After | None = None) -> Session:
        """A session that reads its own writes and never goes back in time.

        `position` continues an earlier one: its token or position, or a receipt. None starts a new one, for a
        request that brought no token. Raises `InvalidToken` for text that is not a token, `ForeignToken` for
        a token of another store, or of a later state than this store was restored to.
        """
        start = self._queries.position_of(0 if position is None else position, "position")
        return Session(self, self._queries, start)
