"""What outlives a command handler: its current batch, replies held back, and what health shows of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from actors.kernel.async_reply import batch_wakeups
from actors.kernel.running_calls import CallSlot
from actors.schema.written_types import WrittenTypes
from actors.settings import REPLICATION_INTERVAL
from actors.writer.atomic_step import AtomicStep
from actors.writer.commit_notifier import CommitNotifier
from actors.writer.inline_models import InlineRun
from actors.writer.submission import Submission
from storage import RecordedEvent

__all__ = ["WriterState"]


class WriterState:
    """Of one writer. The handler's thread changes it; others read it, and may release held replies."""

    def __init__(self, written: WrittenTypes, replication_interval: float = REPLICATION_INTERVAL) -> None:
        self.written = written
        self.in_flight: list[Submission | AtomicStep] = []
        self.attempts = 0
        self.must_reopen = False
        self.closing = False
        self.trouble: str | None = None
        self.activity: tuple[str, str, float] | None = None
        self.inline: InlineRun | None = None
        """The inline tables of the batch that is being decided."""
        self.committing = 0.0
        """When the current commit began, a monotonic time; 0.0 between commits."""
        self.callbacks = CallSlot("callback", "of submit()'s future")
        self.commands = 0
        self.refused = 0
        self.batches = 0
        self.notifier = CommitNotifier(replication_interval)
        self._held: deque[Submission | AtomicStep] = deque()
        self._releasing = threading.Lock()

    def batch_committed(self, decided: Sequence[Submission | AtomicStep]) -> None:
        """Count a batch whose commit is done, and keep its replies for a moment that suits the next one."""
        self.batches += 1
        self.commands += len(decided)
        for request in decided:
            outcome = request.outcome
            if outcome.__class__ is RecordedEvent:
                continue
            if isinstance(outcome, Exception):
                self.refused += 1
            elif outcome.__class__ is list:
                self.commands += len(outcome) - 1
                self.refused += sum(isinstance(one, Exception) for one in outcome)
        self._held.extend(decided)

    def release_replies(self) -> None:
        """Give all held replies. Any thread; if another one is doing so, that one gives them."""
        held = self._held
        while held and self._releasing.acquire(blocking=False):
            try:
                self.callbacks.begin("a reply is given")
                with batch_wakeups:
                    while held:
                        request = held.popleft()
                        request.settle(request.outcome)  # type: ignore[arg-type]
            finally:
                self.callbacks.end()
                self._releasing.release()
