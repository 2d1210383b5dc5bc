"""A session: a caller that reads its own writes and never goes back in time, whatever replica answers.

Callers' threads and event loops. What a session knows is one position, so that it can be handed on as a token.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Unpack

from actors.domain.read_model import ReadModel
from actors.errors import ConcurrencyConflict, Rejected
from actors.kernel.closeable import Closeable
from actors.kernel.reply import Reply
from actors.queries.options import QueryOptions
from actors.queries.result_typing import Query, Result
from actors.queries.view import View
from actors.receipt import Receipt
from actors.writer.options import AppendOptions, CommandOptions, ManyOptions

if TYPE_CHECKING:
    from actors.queries.cache import Answer
    from actors.system.system import System

__all__ = ["Session"]


class Session(Closeable):
    """Commands and reads of one caller, from `System.session()`; the methods are the system's.

    Each read shows at least what this session's commands wrote before it began, what the session's reads that
    ended before it began have shown, and what a refusal (`Rejected`, `ConcurrencyConflict`) of its commands
    rested on. Any number of threads and tasks may share one; reads that run side by side promise each other
    nothing.

    After `CommandTimeout` or `CommitUncertain` nobody knows yet whether there is a write, so reads may show it or
    not. Execute the command again in this session with the `command_id` of the error: its receipt makes it sure.
    """

    def __init__(self, system: System, position: int = 0) -> None:
        """For `System.session`."""
        self._system = system
        self._position = position
        self._lock = threading.Lock()

    @property
    def position(self) -> int:
        """What the next read shows at least: everything up to this position."""
        return self._position

    @property
    def token(self) -> str:
        """The same as text, safe in URLs and cookies, for `System.session` and `after=` in any process that opens
        this store. Take it after what is to be seen there has returned. Raises `SystemClosed`."""
        return self._system._running().reads.tokens.issue(self._position)

    def _saw(self, position: int) -> None:
        with self._lock:
            if position > self._position:
                self._position = position

    # -- commands ----------------------------------------------------------------------------
    def execute(self, command: Any, **options: Unpack[CommandOptions]) -> Receipt:
        """As `System.execute`; later reads of this session see it."""
        try:
            receipt = self._system.execute(command, **options)
        except (Rejected, ConcurrencyConflict):
            self._refused()
            raise
        self._outcome(receipt)
        return receipt

    async def aexecute(self, command: Any, **options: Unpack[CommandOptions]) -> Receipt:
        """As `System.aexecute`; later reads of this session see it."""
        try:
            receipt = await self._system.aexecute(command, **options)
        except (Rejected, ConcurrencyConflict):
            self._refused()
            raise
        self._outcome(receipt)
        return receipt

    def submit(self, command: Any, **options: Unpack[CommandOptions]) -> Future[Receipt]:
        """As `System.submit`; reads that begin when the future is done see it, whether its result was asked for or not."""
        return _Following(self, self._system.submit(command, **options))

    def execute_many(
        self, commands: Iterable[Any], *, return_exceptions: bool = False, **options: Unpack[ManyOptions]
    ) -> list[Any]:
        """As `System.execute_many`; later reads of this session see all of them that were written."""
        try:
            outcomes = self._system.execute_many(commands, return_exceptions=return_exceptions, **options)
        except Exception as error:
            self._all_of(getattr(error, "outcomes", ()))
            raise
        self._all_of(outcomes)
        return outcomes

    async def aexecute_many(
        self, commands: Iterable[Any], *, return_exceptions: bool = False, **options: Unpack[ManyOptions]
    ) -> list[Any]:
        """As `System.aexecute_many`; later reads of this session see all of them that were written."""
        try:
            outcomes = await self._system.aexecute_many(
                commands, return_exceptions=return_exceptions, **options
            )
        except Exception as error:
            self._all_of(getattr(error, "outcomes", ()))
            raise
        self._all_of(outcomes)
        return outcomes

    def append(self, stream: str, events: Sequence[Any], **options: Unpack[AppendOptions]) -> Receipt:
        """As `System.append`; later reads of this session see it."""
        try:
            receipt = self._system.append(stream, events, **options)
        except ConcurrencyConflict:
            self._refused()
            raise
        self._saw(receipt.position)
        return receipt

    def _all_of(self, outcomes: Iterable[Any]) -> None:
        for outcome in outcomes:
            self._outcome(outcome)

    def _outcome(self, outcome: Receipt | BaseException | None) -> None:
        """Note what came of a command; middleware may have put anything in the place of its receipt."""
        if isinstance(outcome, Receipt):
            self._saw(outcome.position)
        elif isinstance(outcome, Rejected | ConcurrencyConflict):
            self._refused()

    def _refused(self) -> None:
        # A refusal waits for the commit of what it rests on, so all of that is at the head or before.
        self._saw(self._system._runtime.progress.head)

    # -- reads -------------------------------------------------------------------------------
    def query(self, query: Query[Result], **options: Unpack[QueryOptions]) -> Result:
        """As `System.query`, no older than what this session wrote or saw."""
        answer = self._system._answer(query, self._since(options))
        self._saw(answer.newest)
        result: Result = answer.results[0]
        return result

    async def aquery(self, query: Query[Result], **options: Unpack[QueryOptions]) -> Result:
        """As `System.aquery`, no older than what this session wrote or saw."""
        answer = await self._system._aanswer(query, self._since(options))
        self._saw(answer.newest)
        result: Result = answer.results[0]
        return result

    def query_many(self, queries: Iterable[Query[Result]], **options: Unpack[QueryOptions]) -> list[Result]:
        """As `System.query_many`, no older than what this session wrote or saw."""
        return self._system._answer_many(queries, options, self._since, self._shown)

    async def aquery_many(
        self, queries: Iterable[Query[Result]], **options: Unpack[QueryOptions]
    ) -> list[Result]:
        """As `System.aquery_many`, no older than what this session wrote or saw."""
        return await self._system._aanswer_many(queries, options, self._since, self._shown)

    def view(self, *models: ReadModel, **options: Unpack[QueryOptions]) -> View:
        """As `System.view`, no older than what this session wrote or saw; later reads are no older than the view."""
        view = self._system.view(*models, **self._since(options))
        self._saw(view.newest())
        return view

    def _since(self, options: QueryOptions) -> QueryOptions:
        position = self._position
        after = options.get("after")
        if after is not None:
            position = max(position, self._system._position_of(after, "after"))
        return {**options, "after": position}

    def _shown(self, answer: Answer) -> None:
        self._saw(answer.newest)

    def close(self) -> None:
        """Nothing to release: a session is a position, and can be used after its block too."""


class _Following(Reply[Receipt]):
    """The future of a session's `submit`: done once the session knows of the outcome, never before."""

    def __init__(self, session: Session, inner: Future[Receipt]) -> None:
        super().__init__()
        self._session = session
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
            self._session._outcome(inner.result() if error is None else error)
        except BaseException as failed:  # Whoever settles the other future would keep it to itself.
            error = failed
        if error is None:
            self.set_result(inner.result())
        else:
            self.set_exception(error)
