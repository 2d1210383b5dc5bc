"""In place of the process managers of a system whose domain declares none: what runs them is not imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from actors.errors import ConsistencyTimeout, UnknownName

if TYPE_CHECKING:
    from actors.health import ProcessManagerHealth
    from actors.kernel.mailbox import Mailbox
    from actors.process_managers.manager_handle import ManagerHandle
    from actors.replication.progress import Progress
    from storage.log.log_reader import LogReader

__all__ = ["NoProcessManagers"]


class NoProcessManagers:
    """Answers as `ProcessManagers` of no manager would. Any thread."""

    def __init__(
        self, log: LogReader, progress: Progress, off: Callable[[], Exception] | None = None
    ) -> None:
        self._log = log
        self._progress = progress
        self._off = off
        self.handles: dict[str, ManagerHandle] = {}
        self.names: list[str] = []

    def actors(self, _exited: object) -> tuple[tuple[str, Mailbox, Callable[[Any], Any]], ...]:
        """None."""
        return ()

    def close(self) -> None:
        """Nothing was begun."""

    def advance(self, by_us: int) -> None:
        """There are no timers."""

    def health(self) -> tuple[ProcessManagerHealth, ...]:
        """None."""
        return ()

    def off_because(self) -> str | None:
        """Why none would run; None if those that there were did."""
        return None if self._off is None else str(self._off())

    def wait(self, timeout: float) -> int:
        """Wait until what is committed is published; returns the head."""
        if self._off is not None:
            raise self._off()
        log, progress = self._log, self._progress
        if not progress.wait_until(lambda: log.stored_head() == progress.head, timeout):
            raise ConsistencyTimeout(
                f"the process managers did not come to rest within {timeout:g} s: there was always "
                "something new; look at process_managers()"
            )
        return progress.head

    def _unknown(self, name: Any, *_rest: Any, **_options: Any) -> NoReturn:
        raise UnknownName("process manager", name, self.handles)

    state = states = skip = quarantined = retry_instance = skip_instance = effects = release_effect = _unknown
