"""Process managers of a running `System`: how they are, and what an operator does. Callers' threads."""

from __future__ import annotations

from typing import Any

from actors.api.base import Calls
from actors.health import ProcessHealth
from actors.options import checked_timeout
from actors.process.pending import PendingEffect
from actors.worker import refuse_in_actor

__all__ = ["ProcessCalls"]


class ProcessCalls(Calls):
    """Process managers: asking and mending. Each raises `UnknownName`, a `KeyError`, for one that is not declared."""

    def processes(self) -> list[ProcessHealth]:
        """How each process manager is: place, lag, instances, timers, effects, and why it is stopped."""
        return list(self._running().processes.health())

    def process_state(self, name: str, key: str) -> Any:
        """The state of one instance of a process manager, None where there is none."""
        return self._running().processes.state(name, key)

    def process_states(self, name: str, limit: int = 1000, after: str = "") -> list[tuple[str, Any]]:
        """At most `limit` instances of a process manager after a key, with their states, in the order of the keys."""
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
            raise ValueError(f"process_states(limit=) is a number from 0 on, not {limit!r:.80}")
        if not isinstance(after, str):
            raise TypeError(f"process_states(after=) is an instance's key, a text, not {after!r:.80}")
        return self._running().processes.states(name, limit, after)

    def wait_processes(self, timeout: float = 10.0) -> int:
        """Wait until all process managers have handled what is committed and delivered their effects.

        Timers that are not due are not waited for. Returns the position that everything is handled up to. Raises
        `ConsistencyTimeout`, or `ProcessStopped` where waiting is in vain.
        """
        refuse_in_actor("wait_processes")
        checked_timeout(timeout, "wait_processes")
        return self._running().processes.wait(timeout)

    def skip_process(self, name: str, reason: str = "", timeout: float = 10.0) -> str:
        """Have a stopped process manager pass over the input that it is stopped at; returns that input's id.

        `reason` is kept with it. Raises `NotStopped` when it is not stopped, or at something else than an input.
        """
        refuse_in_actor("skip_process")
        checked_timeout(timeout, "skip_process")
        if not isinstance(reason, str):
            raise TypeError(f"skip_process(reason=) is a text, not {reason!r:.80}")
        return self._running().processes.skip(name, reason, timeout)

    def effects(self, name: str) -> list[PendingEffect]:
        """The effects of a process manager that are not delivered: those that wait, then those that are parked."""
        return self._running().processes.effects(name)

    def retry_effect(self, name: str, key: str, timeout: float = 10.0) -> None:
        """Deliver a parked effect again; `key` is its own, as `effects` shows it. Raises `UnknownName` for another."""
        refuse_in_actor("retry_effect")
        checked_timeout(timeout, "retry_effect")
        self._running().processes.release(name, key, timeout, drop=False)

    def drop_effect(self, name: str, key: str, timeout: float = 10.0) -> None:
        """Give a parked effect up for good. Raises `UnknownName` for a key that is not parked."""
        refuse_in_actor("drop_effect")
        checked_timeout(timeout, "drop_effect")
        self._running().processes.release(name, key, timeout, drop=True)
