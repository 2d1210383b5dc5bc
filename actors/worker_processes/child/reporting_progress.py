"""How far a worker's replica is: a progress whose news is sent to the parent. Any thread of the worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from actors.replication.progress import Progress
from actors.worker_processes.wire import protocol

__all__ = ["ReportingProgress"]


class ReportingProgress(Progress):
    """A worker's: all that is published here is also told to the parent."""

    def __init__(
        self,
        head: int,
        replica: str,
        models: Sequence[str],
        send: Callable[..., None],
        send_applied: Callable[[Iterable[tuple[str, int]]], None],
        send_state: Callable[[], None],
    ) -> None:
        super().__init__(head, models, [replica])
        self._send = send
        self._send_applied = send_applied
        self._send_state = send_state

    def applied(self, replica: str, checkpoints: Iterable[tuple[str, int]]) -> None:
        """As `Progress.applied`."""
        checkpoints = list(checkpoints)
        super().applied(replica, checkpoints)
        self._send_applied(checkpoints)

    def stopped(self, replica: str, model: str, position: int, why: str, *, readable: bool = False) -> None:
        """As `Progress.stopped`."""
        super().stopped(replica, model, position, why, readable=readable)
        self._send_state()
        self._send(protocol.STOPPED, model, position, why, readable)

    def recheck(self, model: str) -> None:
        """As `Progress.recheck`."""
        super().recheck(model)
        self._send_state()
        self._send(protocol.SWITCHED, model)

    def moved(self) -> None:
        """As `Progress.moved`."""
        super().moved()
        self._send_state()

    def exclude(self, replica: str) -> None:
        """As `Progress.exclude`."""
        super().exclude(replica)
        self._send(protocol.EXCLUDED)

    def mark_reset(self, replica: str) -> None:
        """As `Progress.mark_reset`."""
        super().mark_reset(replica)
        self._send_state()
        self._send(protocol.WAS_RESET)
