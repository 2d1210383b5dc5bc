"""The write side of `System`. Callers' threads and event loops."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any, Unpack

from actors.domain.call_options import several
from actors.receipt import Receipt
from actors.system.base import SystemBase, checked_options
from actors.writer.bulk_execution import with_outcomes
from actors.writer.options import AppendOptions, CommandOptions, ManyOptions

__all__ = ["CommandMethods"]


class CommandMethods(SystemBase):
    """Commands, and facts from outside."""

    def execute(self, command: Any, **options: Unpack[CommandOptions]) -> Receipt:
        """Have a command decided and written; returns its receipt once it is on disk.

        Options: `timeout`, `expected_version`, `on_conflict`, `command_id`, `deadline`,
        `causation_id`, `correlation_id`, `metadata`; `CommandOptions` says what each does.

        Raises `Rejected`, `ConcurrencyConflict`, `CommandIdReused`, `InvalidMessage`,
        `UnknownMessage`, `MessageTooLarge`, `DeciderFailed`, `DeadlineExceeded`, `Overloaded` or
        `StoreFull`: nothing was written. After `CommandTimeout` or `CommitUncertain` the outcome is unknown:
        execute the command again with the id that the error carries. `WrongThread` in a decider, a query or a
        callback.
        """
        return self._running().command_client.execute(
            command, checked_options(options, CommandOptions, "execute")
        )

    def submit(self, command: Any, **options: Unpack[CommandOptions]) -> Future[Receipt]:
        """As `execute`, without waiting for the reply: a future of the receipt.

        `timeout` bounds the wait for room in the mailbox, in all attempts of middleware and `on_conflict`
        together. Callbacks of the future run in the writer's thread: keep them short. Cancelling the future
        before the command is decided cancels the command.
        """
        return self._running().command_client.submit(
            command, checked_options(options, CommandOptions, "submit")
        )

    async def aexecute(self, command: Any, **options: Unpack[CommandOptions]) -> Receipt:
        """As `execute`, for asyncio: the event loop continues meanwhile."""
        return await self._running().command_client.aexecute(
            command, checked_options(options, CommandOptions, "aexecute")
        )

    def execute_many(
        self, commands: Iterable[Any], *, return_exceptions: bool = False, **options: Unpack[ManyOptions]
    ) -> list[Any]:
        """Execute many commands, in order and each on its own; a list of their receipts.

        They share transactions, which makes them cheap, but they are not one unit: a rejected command does
        not disturb the others. With `return_exceptions` the list has its error instead of a receipt;
        otherwise the first error is raised after all commands were handled, with the whole list as its
        `outcomes`. An error of the iterable itself is always raised, with the outcomes of the commands before
        it. Options: `timeout` for all together, `causation_id`, `correlation_id`, `metadata`.
        """
        commands = several(commands, "execute_many", "command")
        given = checked_options(options, ManyOptions, "execute_many")
        outcomes = self._running().command_client.execute_many(commands, given)
        return outcomes if return_exceptions else _all_receipts(outcomes)

    async def aexecute_many(
        self, commands: Iterable[Any], *, return_exceptions: bool = False, **options: Unpack[ManyOptions]
    ) -> list[Any]:
        """As `execute_many`, for asyncio: the event loop continues after every few hundred commands.

        All commands are taken from the iterable first. Cancelling the task does not cancel the commands that
        were sent by then.
        """
        commands = several(commands, "aexecute_many", "command")
        given = checked_options(options, ManyOptions, "aexecute_many")
        outcomes = await self._running().command_client.aexecute_many(commands, given)
        return outcomes if return_exceptions else _all_receipts(outcomes)

    def append(self, stream: str, events: Sequence[Any], **options: Unpack[AppendOptions]) -> Receipt:
        """Write facts that come from outside, without a command: from a sensor or an import.

        They go through the same queue and are on disk when this returns. Options: `timeout`,
        `expected_version`, `command_id` (which makes it safe to repeat), `causation_id`,
        `correlation_id`, `metadata`. Raises as `execute` does.
        """
        return self._running().command_client.append(
            stream, events, checked_options(options, AppendOptions, "append")
        )


def _all_receipts(outcomes: list[Any]) -> list[Any]:
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise with_outcomes(outcome, outcomes)
    return outcomes
