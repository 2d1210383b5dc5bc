"""Waiting until the process managers are quiet, and what keeps them from it. Callers' threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from actors.errors import ConsistencyTimeout, ProcessManagerStopped
from actors.health import ProcessManagerHealth
from actors.kernel.running_calls import RunningCalls
from actors.process_managers.clock import Clock
from actors.process_managers.manager_handle import ManagerHandle
from actors.process_managers.quarantined_instances import quarantined_instances
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.status import Status
from actors.replication.progress import Progress
from storage import EventLog

__all__ = ["Quiescence"]


class Quiescence:
    """Of all managers of one open system."""

    def __init__(
        self,
        handles: Mapping[str, ManagerHandle],
        log: EventLog,
        progress: Progress,
        clock: Clock,
        records: RecordCodec,
        health: Callable[[], Iterable[ProcessManagerHealth]],
        calls: RunningCalls,
    ) -> None:
        """`calls` are those that run."""
        self._calls = calls
        self._handles = handles
        self._log = log
        self._progress = progress
        self._clock = clock
        self._records = records
        self._health = health

    def wait(self, timeout: float) -> int:
        """Wait until every manager has handled all commits and delivered its effects; returns the head."""
        end = time.monotonic() + timeout

        def quiet() -> bool:
            return self._stopped() is not None or all(
                self._delivered(handle)
                and _quiet(handle.board.status, self._progress.head, self._clock.now_us())
                for handle in self._handles.values()
            )

        for handle in self._handles.values():
            while not quiet() and time.monotonic() < end:
                # A commit moves the head and notifies no board: look again now and then.
                handle.board.wait_until(quiet, min(end - time.monotonic(), 0.05))
        stopped = self._stopped() or (self._set_aside() if quiet() else None)
        if stopped is not None:
            raise ProcessManagerStopped(stopped)
        if not quiet():
            raise ConsistencyTimeout(
                f"the process managers did not come to rest within {timeout:g} s: {self._left()}; look at "
                "process_managers()"
            )
        return self._progress.head

    def _delivered(self, handle: ManagerHandle) -> bool:
        # In this order: what the outbox has looked at is in it, what is not in it any more is loaded, and
        # what came of it is among the rejections.
        keys = handle.keys
        return not (
            handle.board.releases_seen < handle.board.releases
            or self._log.notes(keys.due, limit=1)
            or handle.board.delivering
            or self._log.notes(keys.rejections, limit=1)
        )

    def _left(self) -> str:
        """What keeps those who wait waiting."""
        now = time.monotonic()
        texts = [
            f"{kind} {name} has been running for {now - since:.1f} s: {at}"
            for kind, name, at, since in self._calls.now()
            if kind in ("handler", "effect")
        ]
        for one in self._health():
            if one.lag:
                texts.append(f"{one.name!r} is {one.lag} behind")
            if one.effects:
                texts.append(f"{one.name!r} has effects to deliver, or to try again: {one.effects}")
            if one.trouble:
                texts.append(f"{one.name!r} waits: {one.trouble}")
        return ", ".join(texts) or "there was always something new"

    def _stopped(self) -> str | None:
        for handle in self._handles.values():
            failure = handle.board.status.failure
            if failure is not None:
                name = handle.spec.name
                advice = (
                    f"; mend it, or pass over it with skip_process_manager({name!r})"
                    if failure.skippable
                    else ""
                )
                return f"process manager {name!r} is stopped at {failure.what}: {failure.error}{advice}"
        return None

    def _set_aside(self) -> str | None:
        for name, handle in self._handles.items():
            count = handle.board.status.quarantined
            for one in quarantined_instances(self._log, handle.keys, self._records, 1, "") if count else ():
                others = f" and {count - 1} more" if count > 1 else ""
                return (
                    f"process manager {name!r} has set aside instance {one.text}{others}; mend it, or pass "
                    "over that "
                    f"with skip_instance({name!r}, {one.key!r})"
                )
        return None


def _quiet(status: Status, head: int, now_us: int) -> bool:
    return status.quiet_at >= head and (status.next_due is None or status.next_due > now_us)
