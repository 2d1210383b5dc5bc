"""What a manager's actor shows of itself after each step. Its thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.process_managers.status import Status

if TYPE_CHECKING:
    from actors.process_managers.failure_state import FailureState
    from actors.process_managers.planner import Book

__all__ = ["build_status"]


def build_status(before: Status, book: Book | None, troubles: FailureState, *, quiet: bool) -> Status:
    """How a manager is; without its book, which is to be read anew, as it was `before`."""
    place = None if book is None else book.place
    waiting = 0 if book is None else len(book.inputs)
    return Status(
        position=before.position if place is None else place.position,
        instances=before.instances if place is None else place.instances,
        timers=before.timers if place is None else place.timers,
        waiting=waiting,
        quiet_at=place.position if quiet and place is not None and not waiting else -1,
        rebuilding=before.rebuilding if book is None else book.about.until,
        failure=troubles.failure,
        trouble=troubles.why,
        next_due=None if book is None else book.next_due(),
        quarantined=before.quarantined if place is None else place.quarantined,
    )
