"""A whole system for a test: everything runs, on a store in a temporary folder."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from actors.cli.temporary_directory import DeferredDirectory
from actors.domain.domain import Domain
from actors.receipt import Receipt
from actors.system.system import System
from actors.testing._difference import compare
from actors.testing._history import flattened
from storage import RecordedEvent
from storage.files.opening_resources import OpeningResources

__all__ = ["TestSystem", "open_system"]


def open_system(domain: Domain, **settings: Any) -> TestSystem:
    """Open a system on a new store in a temporary folder; use it in a `with` block.

    `settings` are those of `System.open`. One replica answers, unless `replicas=` says otherwise. Personal
    fields are encrypted; their keys last as long as the folder.
    """
    resources = OpeningResources()
    try:
        folder = DeferredDirectory("onewriter-test-")
        resources.on_release(folder.cleanup)
        opened = resources.slot(TestSystem.close)
        folder.make()
        opened.resource = system = TestSystem.open(
            f"{folder.name}/store",
            domain,
            **{"replicas": 1, "map_size": 1 << 30, "master_key": _wrapped, **settings},
        )
        system.folder = folder
        return system
    except BaseException:
        resources.roll_back()
        raise


def _wrapped(_action: str, data: bytes) -> bytes:
    """In the place of a key service: nobody keeps the store of a test."""
    return data[::-1]


class TestSystem(System):
    """A `System` whose reads are strong unless they ask for another consistency: queries in each of their
    forms, views, watches and sessions.
    """

    __test__ = False  # Not a class of tests, whatever its name makes pytest think.

    _consistency = "strong"

    folder: DeferredDirectory | None = None

    def close(self, timeout: float = 30.0) -> None:
        """As `System.close`, and the store is removed."""
        super().close(timeout)
        if self.folder is not None:
            self.folder.cleanup()

    def advance(self, by: timedelta) -> None:
        """Advance the clock of process managers' timers; `wait_process_managers` waits for what fires."""
        self._running().process_managers.advance(by // timedelta(microseconds=1))

    def recorded_events(self, after: Receipt | int = 0) -> list[RecordedEvent]:
        """Everything that is committed after a position, in order."""
        return list(self.subscribe(after, until=self.position))

    def then_recorded(self, *events: Any, after: Receipt | int = 0) -> None:
        """Exactly these events are committed after a position, in this order.

        Otherwise raises an `AssertionError` that shows the difference.
        """
        compare(
            "the log holds other events",
            flattened(events),
            [one.event for one in self.recorded_events(after)],
        )
