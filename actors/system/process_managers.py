"""What an operator does with the process managers of a running `System`. Callers' threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.kernel.actor import refuse_in_actor
from actors.system.base import SystemBase
from actors.timeouts import checked_timeout
from storage.value_text import short_repr

if TYPE_CHECKING:
    from actors.health import ProcessManagerHealth
    from actors.process_managers.pending_effects import PendingEffect
    from actors.process_managers.quarantined_instances import QuarantinedInstance

__all__ = ["ProcessManagerMethods"]


class ProcessManagerMethods(SystemBase):
    """The state and care of process managers. With the name of one that is not declared, each method raises
    `UnknownName`, a `KeyError`.
    """

    def process_managers(self) -> list[ProcessManagerHealth]:
        """Each process manager's position, lag, instances, timers and effects, and why it is stopped."""
        return list(self._running().process_managers.health())

    def process_manager_state(self, name: str, key: str) -> Any:
        """The state of one instance of a process manager; None if there is none."""
        return self._guarded("process_manager", (name,)).process_managers.state(name, key)

    def process_manager_states(self, name: str, limit: int = 1000, after: str = "") -> list[tuple[str, Any]]:
        """At most `limit` instances of a process manager after a key, with their states, in order of keys."""
        checked_page("process_manager_states", limit, after)
        return self._guarded("process_manager", (name,)).process_managers.states(name, limit, after)

    def wait_process_managers(self, timeout: float = 10.0) -> int:
        """Wait until all process managers have handled what is committed and delivered their effects.

        Does not wait for timers that are not due. Returns the position up to which everything is handled.
        Raises `ConsistencyTimeout`, or `ProcessManagerStopped` if one is stopped, so that waiting would not
        help.
        """
        refuse_in_actor("wait_process_managers", self._running().progress)
        checked_timeout(timeout, "wait_process_managers")
        return self._running().process_managers.wait(timeout)

    def skip_process_manager(self, name: str, reason: str = "", timeout: float = 10.0) -> str:
        """Have a stopped process manager skip the input at which it is stopped; returns that input's id.

        `reason` is stored with it. Raises `NotStopped` if the manager is not stopped at an input.
        """
        refuse_in_actor("skip_process_manager", self._running().progress)
        checked_timeout(timeout, "skip_process_manager")
        checked_text("skip_process_manager", "reason", reason)
        return self._running().process_managers.skip(name, reason, timeout)

    def quarantined_instances(
        self, name: str, limit: int = 100, after: str = ""
    ) -> list[QuarantinedInstance]:
        """At most `limit` quarantined instances of a process manager after a key, in order of keys.

        An instance is set aside when an input fails in it. All later inputs for it wait, in order; other
        instances continue.
        """
        checked_page("quarantined_instances", limit, after)
        return self._running().process_managers.quarantined(name, limit, after)

    def retry_instance(self, name: str, key: str, timeout: float = 10.0) -> bool:
        """Try a quarantined instance again, now; whether it got past the input on which it failed.

        Raises `NotStopped` for one that is not set aside.
        """
        refuse_in_actor("retry_instance", self._running().progress)
        checked_timeout(timeout, "retry_instance")
        checked_text("retry_instance", "key", key)
        return self._running().process_managers.retry_instance(name, key, timeout)

    def skip_instance(self, name: str, key: str, reason: str = "", timeout: float = 10.0) -> str:
        """Have a quarantined instance skip the input on which it fails; returns that input's id.

        `reason` is stored with it. The inputs that wait behind it are handled then. Raises `NotStopped` for
        an instance that is not set aside.
        """
        refuse_in_actor("skip_instance", self._running().progress)
        checked_timeout(timeout, "skip_instance")
        checked_text("skip_instance", "key", key)
        checked_text("skip_instance", "reason", reason)
        return self._running().process_managers.skip_instance(name, key, reason, timeout)

    def effects(self, name: str) -> list[PendingEffect]:
        """The effects of a process manager that are not delivered: first those that wait, then the parked."""
        return self._running().process_managers.effects(name)

    def retry_effect(self, name: str, key: str, timeout: float = 10.0) -> None:
        """Deliver a parked effect again; `key` is the effect's, as `effects` shows it.

        Raises `UnknownName` for a key that is not parked, or no longer, and `ConsistencyTimeout` if that is
        not on disk within `timeout` seconds: the writer does it all the same, as soon as it can.
        """
        refuse_in_actor("retry_effect", self._running().progress)
        checked_timeout(timeout, "retry_effect")
        self._running().process_managers.release_effect(name, key, timeout, drop=False)

    def drop_effect(self, name: str, key: str, timeout: float = 10.0) -> None:
        """Give up a parked effect for good. Raises as `retry_effect` does."""
        refuse_in_actor("drop_effect", self._running().progress)
        checked_timeout(timeout, "drop_effect")
        self._running().process_managers.release_effect(name, key, timeout, drop=True)


def checked_page(method: str, limit: Any, after: Any) -> None:
    """Raise `ValueError` or `TypeError` unless they are a page of instances."""
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise ValueError(f"{method}(limit=) is a number from 0 on, not {short_repr(limit)}")
    if not isinstance(after, str):
        raise TypeError(f"{method}(after=) is an instance's key, a text, not {short_repr(after)}")


def checked_text(method: str, name: str, text: Any) -> None:
    """Raise `TypeError` unless it is text."""
    if not isinstance(text, str):
        raise TypeError(f"{method}({name}=) is a text, not {short_repr(text)}")
