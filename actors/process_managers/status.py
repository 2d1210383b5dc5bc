"""How a process manager is: a value that its thread makes after each step, and every thread may read."""

from __future__ import annotations

from dataclasses import dataclass

from actors.process_managers.failure_state import Failure, FailureState
from actors.process_managers.manager_state import ManagerState

__all__ = ["Status", "status_of"]


@dataclass(frozen=True, slots=True)
class Status:
    """`quiet_at` is the position up to which nothing is left to do, -1 while there is.

    `rejections` wait to be handled; `rebuilding` is the position that a rebuild goes to, None without one;
    `next_due` is when the next timer is due, in microseconds since 1970 UTC; `quarantined` instances are set
    aside.
    """

    position: int
    instances: int = 0
    timers: int = 0
    rejections: int = 0
    quiet_at: int = -1
    rebuilding: int | None = None
    failure: Failure | None = None
    trouble: str | None = None
    next_due: int | None = None
    quarantined: int = 0


def status_of(before: Status, state: ManagerState | None, failures: FailureState, *, quiet: bool) -> Status:
    """How a manager is; without its state, which is to be read again, as `before`. The manager's thread."""
    checkpoint = None if state is None else state.checkpoint
    rejections = 0 if state is None else len(state.rejections)
    return Status(
        position=before.position if checkpoint is None else checkpoint.position,
        instances=before.instances if checkpoint is None else checkpoint.instances,
        timers=before.timers if checkpoint is None else checkpoint.timers,
        rejections=rejections,
        quiet_at=checkpoint.position if quiet and checkpoint is not None and not rejections else -1,
        rebuilding=before.rebuilding if state is None else state.metadata.until,
        failure=failures.failure,
        trouble=failures.trouble,
        next_due=None if state is None else state.next_due(),
        quarantined=before.quarantined if checkpoint is None else checkpoint.quarantined,
    )
