"""Waiting until the process managers are quiet, and what keeps them from it. Callers' threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from threading import Condition

from actors.errors import ConsistencyTimeout, ProcessManagerStopped
from actors.health import ProcessManagerHealth
from actors.kernel.running_calls import RunningCalls
from actors.process_managers.clock import Clock
from actors.process_managers.manager_handle import ManagerHandle
from actors.process_managers.quarantined_instances import quarantined_instances
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.status import Status
from actors.replication.progress import Progress
from storage.errors import lacks_code
from storage.log.log_reader import LogReader

__all__ = ["Quiescence"]


class Quiescence:
    """Of all managers of one open system."""

    def __init__(
        self,
        handles: Mapping[str, ManagerHandle],
        log: LogReader,
        progress: Progress,
        clock: Clock,
        records: RecordCodec,
        health: Callable[[], Iterable[ProcessManagerHealth]],
        calls: RunningCalls,
        changed: Condition,
    ) -> None:
        """`calls` are those that run; `changed` is notified by every board."""
        self._calls = calls
        self._changed = changed
        self._handles = handles
        self._log = log
        self._progress = progress
        self._clock = clock
        self._records = records
        self._health = health

    def wait(self, timeout: float) -> int:
        """Wait until every manager has handled all commits and delivered its effects; returns the head."""
        end = time.monotonic() + timeout
        while (head := self._quiet_head()) is None and self._stopped() is None and time.monotonic() < end:
            with self._changed:
                # A commit moves the head and notifies no board: look again now and then.
                self._changed.wait_for(
                    lambda: self._quiet_head() is not None or self._stopped() is not None,
                    min(max(end - time.monotonic(), 0.0), 0.05),
                )
        stopped = self._stopped() or (None if head is None else self._set_aside())
        if stopped is not None:
            raise ProcessManagerStopped(stopped)
        if head is None:
            raise ConsistencyTimeout(
                f"the process managers did not come to rest within {timeout:g} s: {self._left()}; look at "
                "process_managers()"
            )
        return head

    def _quiet_head(self) -> int | None:
        """The head at which all managers have nothing left to do; None while one has.

        Whether effects are left and what a manager has to do are read one after the other, and a manager may
        take a step in between: a timer that fires, say. Every step is announced by a new status before it
        begins, and every commit moves the head before it is answered. So what was read holds if both are
        still the same afterwards.
        """
        head = self._progress.head
        before = [handle.board.status for handle in self._handles.values()]
        now_us = self._clock.now_us()
        if not all(_quiet(status, head, now_us) for status in before):
            return None
        if not all(self._delivered(handle) for handle in self._handles.values()):
            return None
        after = [handle.board.status for handle in self._handles.values()]
        same = all(one is other for one, other in zip(before, after, strict=True))
        # A manager that has just begun may have read what a commit wrote that is not published yet.
        return head if same and self._log.stored_head() == self._progress.head == head else None

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
                skip = failure.skippable and not lacks_code(failure.error)
                advice = f"; fix it, or skip it with skip_process_manager({name!r})" if skip else ""
                return f"process manager {name!r} is stopped at {failure.what}: {failure.error}{advice}"
        return None

    def _set_aside(self) -> str | None:
        for name, handle in self._handles.items():
            count = handle.board.status.quarantined
            for one in quarantined_instances(self._log, handle.keys, self._records, 1, "") if count else ():
                others = f" and {count - 1} more" if count > 1 else ""
                text = f"process manager {name!r} has set aside instance {one.text}{others}"
                if lacks_code(one.text):
                    return text
                return f"{text}; fix it, or skip that with skip_instance({name!r}, {one.key!r})"
        return None


def _quiet(status: Status, head: int, now_us: int) -> bool:
    return status.quiet_at >= head and (status.next_due is None or status.next_due > now_us)
