"""The commands of one `execute_many`: cut into bulks that travel together, and their outcomes put together again.

Where middleware sees each command they go one by one, and still share commits, since none waits for the one before.
Runs in the caller's thread or event loop.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

from actors.errors import CommandTimeout
from actors.messages import Bulk, Decided, Receipt, Submission, receipt_or_error
from actors.writer.submissions import SubmissionMaker
from storage import OnewriterError

__all__ = ["BULK", "ManyCommands", "aone_by_one", "one_by_one"]

BULK = 500
"""Commands of `execute_many` that travel in one message."""


class ManyCommands:
    """`outcomes` has each command's receipt or error, in order, once all that was made has come to its end."""

    def __init__(self, make: SubmissionMaker, commands: Iterable[Any], options: dict[str, Any]) -> None:
        self.outcomes: list[Any] = []
        self._make = make
        self._commands = iter(commands)
        self._options = options

    def bulks(self) -> Iterator[tuple[list[int], Bulk]]:
        """Bulk after bulk, made when it is asked for, with its commands' places among the outcomes."""
        while chunk := list(itertools.islice(self._commands, BULK)):
            ready: list[Submission] = []
            places: list[int] = []
            for command in chunk:
                try:
                    ready.append(self._make.of_command(command, self._options, self._options.get("metadata")))
                except OnewriterError as error:
                    self.outcomes.append(error)
                else:
                    places.append(len(self.outcomes))
                    self.outcomes.append(None)
            if ready:
                yield places, Bulk(ready)

    def received(self, places: list[int], outcomes: Iterable[Decided]) -> None:
        """What became of a bulk's commands."""
        for place, outcome in zip(places, outcomes, strict=True):
            self.outcomes[place] = receipt_or_error(outcome)

    def unknown(self, places: list[int], bulk: Bulk) -> None:
        """No reply to a bulk came in time."""
        self.received(places, [CommandTimeout(submission.command_id) for submission in bulk.submissions])


def one_by_one(
    submit: Callable[[Any, dict[str, Any]], Future[Receipt]],
    commands: Iterable[Any],
    options: dict[str, Any],
) -> list[Receipt | Exception]:
    """Each command's receipt or error, in order; the time-out among the options is each one's own."""
    timeout = options["timeout"]
    futures: list[Future[Receipt] | OnewriterError] = []
    for command in commands:
        try:
            futures.append(submit(command, dict(options)))
        except OnewriterError as error:
            futures.append(error)
    outcomes: list[Receipt | Exception] = []
    for future in futures:
        if isinstance(future, OnewriterError):
            outcomes.append(future)
            continue
        try:
            outcomes.append(future.result(timeout))
        except TimeoutError:
            outcomes.append(CommandTimeout("", f"no reply within {timeout:g} s; the outcome is unknown"))
        except OnewriterError as error:
            outcomes.append(error)
    return outcomes


async def aone_by_one(
    aexecute: Callable[[Any, dict[str, Any]], Awaitable[Receipt]],
    commands: Iterable[Any],
    options: dict[str, Any],
) -> list[Receipt | Exception]:
    """As `one_by_one`. A task that is cancelled leaves them on their way."""

    async def outcome(command: Any) -> Receipt | Exception:
        try:
            return await aexecute(command, dict(options))
        except Exception as error:
            return error

    tasks = [asyncio.ensure_future(outcome(command)) for command in commands]
    if tasks:
        await asyncio.wait(tasks)
    outcomes = [task.result() for task in tasks]
    for one in outcomes:
        if isinstance(one, Exception) and not isinstance(one, OnewriterError):
            raise one
    return outcomes
