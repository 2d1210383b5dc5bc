"""Where a process manager and its outbox publish how they are, and where callers wait for that to change."""

from __future__ import annotations

import threading
from dataclasses import replace

from actors.kernel.running_calls import CallSlot
from actors.process_managers.records import DeliveryAttempts
from actors.process_managers.status import Status

__all__ = ["StatusBoard"]


class StatusBoard:
    """The manager's thread writes `status`; every thread reads it, and may wait for the next one."""

    def __init__(self, changed: threading.Condition, handler_slot: CallSlot) -> None:
        """`changed` is shared by the boards of one system; `handler_slot` shows the handler that runs."""
        self.handler_slot = handler_slot
        self.status = Status(0)
        self.delivering = False
        """Whether the outbox has effects to deliver, or to remove; its thread's."""
        self.releases = 0
        """How often operators released effects, counted under the lock."""
        self.releases_seen = 0
        """How many of these the outbox has looked at."""
        self.attempts: dict[bytes, DeliveryAttempts] = {}
        """The failed attempts of effects, by key; the outbox's thread reads them from its records first."""
        self._changed = changed

    def publish(self, status: Status) -> None:
        """Show a new status."""
        if status != self.status:
            self.status = status
            self.notify()

    def mark_busy(self) -> None:
        """There is something to do again; said before it begins, so that the manager does not look quiet."""
        if self.status.quiet_at >= 0:
            self.status = replace(self.status, quiet_at=-1)

    def count_release(self) -> None:
        """Effects are released: the outbox is busy until it has looked at them."""
        with self._changed:
            self.releases += 1

    def notify(self) -> None:
        """Have those who wait look again."""
        with self._changed:
            self._changed.notify_all()
