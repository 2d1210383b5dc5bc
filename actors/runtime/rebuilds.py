"""Having a model rebuilt while the system runs, waiting for it, and skipping events. Callers' threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from actors.errors import (
    CommandTimeout,
    ConsistencyTimeout,
    DomainError,
    ModelStopped,
    NotStopped,
    SystemClosed,
    UnknownName,
    advice_on,
)
from actors.health import Rebuild
from actors.replication.backfill import rebuilds_of
from actors.replication.replica_status import BuildStatus, FailureStatus
from actors.replication.skipped_events import skip_note, unskip_notes
from actors.runtime.monitor import Monitor
from actors.runtime.parts import Parts
from storage.log.notes import Note

__all__ = ["Rebuilds"]

REQUEST_TIMEOUT = 10.0
"""Seconds that a replica may take to begin a build: it does so between two batches."""


class Rebuilds:
    """The builds of one running system that are filled beside those that serve."""

    def __init__(self, parts: Parts, monitor: Monitor) -> None:
        self._parts = parts
        self._monitor = monitor
        self._unskipping = threading.Lock()

    def all(self) -> tuple[Rebuild, ...]:
        """Each of them, on every replica."""
        head, now = self._parts.progress.head, time.monotonic()
        return tuple(
            one
            for name, slot in self._parts.replicas.slots.items()
            for one in rebuilds_of(name, slot.projector, head, now)
        )

    def start(self, model: str) -> None:
        """Have every replica that has the model begin a new build of it, unless it is at one.

        Raises `ConsistencyTimeout` where one does not, as its projections don't return.
        """
        replicas = self._parts.replicas
        holders = self._parts.progress.holders([model])
        begun = [(name, replicas.start_build(name, model)) for name in holders]
        end = time.monotonic() + REQUEST_TIMEOUT
        for name, future in begun:
            try:
                future.result(max(end - time.monotonic(), 0.0))
            except TimeoutError:
                raise ConsistencyTimeout(
                    f"{name} did not begin to rebuild {model!r} within {REQUEST_TIMEOUT:g} s; it will when "
                    f"its projections return: {self._monitor.held(name, model)}; look at health()"
                ) from None
        self._parts.changed_code.rebuild_began(model)

    def start_all(self, models: Sequence[str]) -> None:
        """Begin builds of these models, once every replica has applied what is committed, or can't.

        Then none has events before it as they were before they were changed. Raises as `start` does, once it
        was tried for each of them.
        """
        progress, late = self._parts.progress, []
        head = progress.latest_head()
        progress.wait_until(
            lambda: progress.everywhere(head) or progress.closed or progress.any_stopped() is not None,
            REQUEST_TIMEOUT,
        )
        for model in models:
            try:
                self.start(model)
            except ConsistencyTimeout as error:
                late.append(error)
        if late:
            raise late[0]

    def left(self, model: str) -> str:
        """How far the builds of a model are that are not done, in words."""
        found = []
        for one in self.all():
            if one.model == model:
                speed = "" if one.events_per_second is None else f" at {one.events_per_second:.0f} events/s"
                held = self._monitor.held_by_projection(one.replica, model)
                found.append(
                    f"on {one.replica} it is {one.state} at position {one.position} of {one.head}{speed}"
                    + (f", where {held}" if held else "")
                )
        return "; ".join(found)

    def wait(self, model: str, timeout: float | None) -> bool:
        """Wait until every replica serves the build that is wanted; False after `timeout` seconds.

        Raises `ModelStopped` for a build that stopped, `SystemClosed`.
        """
        progress, slots = self._parts.progress, self._parts.replicas.slots

        def building() -> list[tuple[str, BuildStatus]]:
            return [
                (name, run)
                for name, slot in slots.items()
                for run in slot.projector.building
                if run.model.name == model
            ]

        def stopped() -> list[tuple[str, FailureStatus]]:
            return [(name, run.failure) for name, run in building() if run.failure and not run.failure.full]

        failed: list[tuple[str, FailureStatus]] = []

        def over() -> bool:
            failed[:] = stopped()  # A build that is tried again right away has still ended the wait.
            return bool(failed) or not building() or progress.closed

        progress.wait_until(over, timeout)
        for name, failure in failed:
            raise ModelStopped(
                f"the rebuild of {model!r} on {name} stopped at event {failure.type} at position "
                f"{failure.position}: {failure.error}; what served before still does, and the rebuild is "
                f"tried again by itself{advice_on(failure.error)}"
            )
        left = building()
        if left and progress.closed:
            raise SystemClosed(
                f"the system was closed before {model!r} was rebuilt; the rebuild goes on when it is opened "
                "again"
            )
        return not left

    def skip_event(self, model: str, position: int, reason: str, timeout: float) -> None:
        """Note that the model skips an event, and have those that stopped at it go on.

        Raises `ValueError`, `NotStopped`, `CommandTimeout`.
        """
        parts = self._parts
        if position in parts.skips.of(model):
            return
        head = parts.progress.head
        if not 1 <= position <= head:
            raise ValueError(f"position {position} is not in the log, which ends at {head}")
        stopped = {
            (failure.position, name)
            for name, slot in parts.replicas.slots.items()
            for run in (*slot.projector.runs, *slot.projector.building)
            if run.model.name == model and (failure := run.failure) is not None
        }
        if all(at != position for at, _ in stopped):
            where = ", ".join(f"at {at} on {name}" for at, name in sorted(stopped)) or "nowhere"
            raise NotStopped(
                f"model {model!r} is not stopped at position {position}, so there is nothing to skip; it is "
                f"stopped {where}"
            )
        self._write(
            [skip_note(model, position, reason)], f"the skip of position {position} by {model!r}", timeout
        )
        parts.skips.add(model, position)
        self._resume()

    def unskip_event(self, model: str, position: int, timeout: float) -> None:
        """Note that the model does not skip an event any more, and have every replica begin to rebuild it.

        Raises `UnknownName`, `DomainError`, `CommandTimeout`, and what `start` does.
        """
        parts = self._parts
        with self._unskipping:
            skipped = parts.skips.of(model)
            if position not in skipped:
                known = map(str, sorted(skipped))
                raise UnknownName(f"skipped event of model {model!r}, at position", position, known)
            if parts.domain.models[model].inline:
                raise DomainError(
                    f"model {model!r} is inline, and its tables are not rebuilt while the system is open; "
                    "leave inline= out, take the skip back, and declare the model inline again"
                )
            count = parts.skips.unskips.get(model, 0) + 1
            notes = unskip_notes(model, position, count)
            self._write(notes, f"taking back the skip of position {position} by {model!r}", timeout)
            parts.skips.remove(model, position)
        self._resume()
        self.start(model)

    def _write(self, notes: list[Note], what: str, timeout: float) -> None:
        steps = self._parts.command_client.steps
        try:
            steps.submit([], lambda _outcomes: notes, timeout=timeout).result(timeout)
        except TimeoutError:
            raise CommandTimeout(
                "",
                f"no reply in time to {what}; look at skipped_events() whether it is written, or repeat it",
            ) from None

    def _resume(self) -> None:
        """Have the replicas take over which events are skipped, and those models go on that need not stop."""
        parts = self._parts
        resumed = [parts.replicas.resume(name) for name in parts.replicas.slots]
        end = time.monotonic() + REQUEST_TIMEOUT
        for future in resumed:
            # A replica that does not come to it now does so later, and the note holds in any case.
            with suppress(TimeoutError, SystemClosed):
                future.result(max(end - time.monotonic(), 0.0))
