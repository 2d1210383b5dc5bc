"""Follows a log that another process writes, or none: publishes what is committed there.

Nobody notifies a reader in another process, so its actor looks at the log's last position every
`POLL_SECONDS`, which costs a look-up in memory. A caller that needs to know what is committed now looks
itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Any

from actors.kernel.actor import SupervisedActor, notify
from actors.kernel.mailbox import IdleTimeout, Mailbox
from actors.kernel.running_calls import CallSlot
from actors.replication.listeners import Listeners
from actors.replication.messages import Committed
from actors.replication.progress import Progress
from actors.replication.skipped_events import SkippedEvents
from storage.log.log_follower import LogFollower

__all__ = ["POLL_SECONDS", "CommittedElsewhere", "LogPoller"]

POLL_SECONDS = 0.025
"""Seconds from one look at the log to the next."""
CHANGES_EVERY = 1.0
"""Seconds from one look for corrected events, and for skips and those taken back, to the next."""


class CommittedElsewhere:
    """What is committed in the log, published in `progress` and announced to Sync. Any thread."""

    def __init__(self, log: LogFollower, progress: Progress, announce: Callable[[Committed], None]) -> None:
        self._log = log
        self._progress = progress
        self._announce = announce
        # Held while it is announced, so that two threads keep the order.
        self._lock = threading.Lock()

    def look(self) -> int:
        """Publish what is committed by now; returns the last position. Raises `StorageError`."""
        with self._lock:
            before, head = self._progress.head, self._log.committed_head()
            if head > before:
                self._log.advance(head)
                self._progress.committed(head)
                self._announce(Committed(before + 1, head, None))
        return head


class LogPoller(SupervisedActor):
    """Looks at the log at intervals, and calls the listeners of commits. One thread."""

    def __init__(
        self,
        name: str,
        mailbox: Mailbox,
        exited: Callable[[str, BaseException | None], None],
        *,
        committed: CommittedElsewhere,
        progress: Progress,
        listeners: Listeners,
        skips: SkippedEvents,
        log: LogFollower,
        models: Collection[str],
        resume: Callable[[], None],
        rebuild: Callable[[str], None],
        call_slot: CallSlot,
    ) -> None:
        """`resume` lets models go on that stopped at an event which they are to skip by now, `rebuild` begins
        new builds of a model on all replicas."""
        super().__init__(name, mailbox, exited)
        self._committed = committed
        self._progress = progress
        self._listeners = listeners
        self._skips = skips
        self._log = log
        self._resume = resume
        self._rebuild = rebuild
        self._changes = {model: self._skips.changes_of(self._log, model) for model in models}
        self._looked = time.monotonic()
        self._call_slot = call_slot
        self._notified = progress.head

    def on_start(self) -> None:
        """From now on the mailbox wakes it at intervals."""
        self.mailbox.idle_timeout = POLL_SECONDS

    def on_receive(self, message: Any) -> None:
        """Look."""
        if not isinstance(message, IdleTimeout):
            super().on_receive(message)
            return
        head = self._committed.look()
        if head > self._notified:
            first, self._notified = self._notified + 1, head
            notify(self._call_slot, self._listeners.committed, first, head)
        # An operator may have had them skip it, in the process that writes.
        if self._progress.any_stopped() is not None and self._skips.read_again(self._log):
            self._resume()
        now = time.monotonic()
        if now - self._looked > CHANGES_EVERY:
            self._looked = now
            self._look_for_changes()

    def _look_for_changes(self) -> None:
        """Have the models filled again whose events were corrected, or given back to them after a skip, in
        the process that writes."""
        if self._skips.read_again(self._log):
            self._resume()
        for model, known in self._changes.items():
            changes = self._skips.changes_of(self._log, model)
            if changes > known:
                self._rebuild(model)
                self._changes[model] = changes
