"""How far the replica of a worker is; what changes is sent to the parent. Any thread of the worker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from actors.replication.progress import Progress
from actors.worker_processes.child.status_reporter import StatusReporter
from actors.worker_processes.wire import protocol

__all__ = ["ReportingProgress"]


class ReportingProgress(Progress):
    """The progress of a worker: whatever is published here is also reported to the parent."""

    def __init__(self, head: int, replica: str, models: Sequence[str], reporter: StatusReporter) -> None:
        super().__init__(head, models, [replica])
        self._reporter = reporter

    def applied(self, replica: str, checkpoints: Iterable[tuple[str, int]]) -> None:
        """As `Progress.applied`."""
        checkpoints = list(checkpoints)
        super().applied(replica, checkpoints)
        self._reporter.send_applied(checkpoints)

    def stopped(self, replica: str, model: str, position: int, why: str, *, readable: bool = False) -> None:
        """As `Progress.stopped`."""
        super().stopped(replica, model, position, why, readable=readable)
        self._reporter.send_state()
        self._reporter.send(protocol.STOPPED, model, position, why, readable)

    def recheck(self, model: str) -> None:
        """As `Progress.recheck`."""
        super().recheck(model)
        self._reporter.send_state()
        self._reporter.send(protocol.SWITCHED, model)

    def moved(self) -> None:
        """As `Progress.moved`."""
        super().moved()
        self._reporter.send_state()

    def exclude(self, replica: str) -> None:
        """As `Progress.exclude`."""
        super().exclude(replica)
        self._reporter.send(protocol.EXCLUDED)

    def mark_reset(self, replica: str) -> None:
        """As `Progress.mark_reset`."""
        super().mark_reset(replica)
        self._reporter.send_state()
        self._reporter.send(protocol.WAS_RESET)
