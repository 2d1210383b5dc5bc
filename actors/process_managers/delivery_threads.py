"""The threads that deliver the effects of one manager: usually one, more where one takes long.

They outlive the outbox's actor, which submits runs of effects and takes their outcomes. An effect that hangs
holds up those behind it in its own instance, and no others as long as a thread is left.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from actors.kernel.actor import as_delivery_thread
from actors.kernel.running_calls import CallSlot, RunningCalls
from actors.process_managers.records import OutboxEntry
from actors.replication.progress import Progress

__all__ = ["MAX_THREADS", "SLOW_SECONDS", "DeliveryThreads"]

MAX_THREADS = 8
"""Threads that deliver effects of one manager at most. As many may hang before the others have to wait."""

SLOW_SECONDS = 1.0
"""Seconds after which an effect that is still being delivered holds up others no longer: another thread takes
them. Until then a handler is not called in two threads at once.
"""

logger = logging.getLogger("onewriter.process")

Run = Sequence[tuple[bytes, OutboxEntry]]
"""Effects of one instance, by their keys, in order."""
Outcome = list[Any] | BaseException
"""The commands that a handler returned, or what it raised."""


class DeliveryThreads:
    """Takes runs of effects, and keeps their outcomes until they are taken."""

    def __init__(
        self,
        manager: str,
        calls: RunningCalls,
        notify: Callable[[], None],
        max_threads: int = MAX_THREADS,
        slow_seconds: float = SLOW_SECONDS,
        *,
        system: Progress | None = None,
    ) -> None:
        """`notify()` is called in one of the threads when there is an outcome; `calls` shows the handlers
        that run.

        `system` is the one whose effects these are: they may not wait for it.
        """
        self._system = system
        self.send: Callable[[bytes, OutboxEntry], list[Any]] = _no_outbox
        """Delivers one, with its key in the outbox; set by the outbox's actor before it submits a run."""
        self._manager = manager
        self._calls = calls
        self._notify = notify
        self._max_threads = max_threads
        self._slow_seconds = slow_seconds
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._runs: deque[Run] = deque()
        self._slots: set[CallSlot] = set()
        self._idle = 0
        self._submitted: dict[bytes, OutboxEntry] = {}
        self._outcomes: dict[bytes, Outcome] = {}
        self._notify_next = True
        self._closing = False

    # -- the actor's thread ------------------------------------------------------------------
    def expect_notification(self) -> None:
        """The actor is about to look at outcomes: notify it of those that come from now on."""
        with self._lock:
            self._notify_next = True

    def take_outcome(self, key: bytes) -> Outcome | None:
        """The outcome of an effect, once; None where there is none yet."""
        return self._outcomes.pop(key, None)

    def busy_instances(self) -> set[str]:
        """The instances of which an effect is being delivered: the next one has to wait."""
        with self._lock:
            return {entry.key for entry in self._submitted.values()}

    def submit(self, runs: Iterable[Run]) -> None:
        """Have these delivered. Instances that have one under way are not among them."""
        with self._lock:
            if self._closing:
                return
            for run in runs:
                self._runs.append(run)
                self._submitted.update(run)
            if self._runs:
                self._work.notify()

    def slow_effects(self) -> dict[bytes, str]:
        """The effects that take their time, by key, with their instances."""
        limit = time.monotonic() - self._slow_seconds
        with self._lock:
            busy = {
                entry.id for slot in self._slots if (entry := slot.what) is not None and slot.since < limit
            }
            return {key: one.key for key, one in self._submitted.items() if one.id in busy} if busy else {}

    def add_thread_if_slow(self) -> float | None:
        """Start another thread if all are slow; returns the seconds until one may become slow, None for
        never.
        """
        now = time.monotonic()
        with self._lock:
            left = [self._slow_seconds - (now - slot.since) for slot in self._slots if slot.what is not None]
            soon = [seconds for seconds in left if seconds > 0]
            slot = None
            # Those that are not at an effect, if any, are about to look for one.
            slow = len(self._slots) == len(left) and not soon
            if self._runs and slow and not self._closing and len(left) < self._max_threads:
                slot = self._calls.slot("effect", f"of process manager {self._manager!r}", _describe)
                self._slots.add(slot)
            waits = min(soon, default=self._slow_seconds if self._runs else None)
        if slot is not None:
            self._start(slot)
        return waits

    def _start(self, slot: CallSlot) -> None:
        name = f"onewriter-effects-{self._manager}"
        try:
            threading.Thread(target=self._work_on, args=(slot,), name=name, daemon=True).start()
        except RuntimeError as error:
            logger.warning("no thread can be started that delivers effects of %r: %s", self._manager, error)
            self._drop(slot)

    def _drop(self, slot: CallSlot) -> None:
        self._calls.drop(slot)
        with self._lock:
            self._slots.discard(slot)

    def close(self, hangs: float) -> None:
        """Deliver no more, and wait for those in progress, but not for one that has taken `hangs` seconds."""
        with self._lock:
            self._closing = True
            self._runs.clear()
            self._work.notify_all()
            while waits := [hangs - (time.monotonic() - slot.since) for slot in self._slots if slot.what]:
                if max(waits) <= 0:
                    break
                self._work.wait(max(waits))

    # -- the delivery threads ----------------------------------------------------------------
    def _work_on(self, slot: CallSlot) -> None:
        with as_delivery_thread(f"process manager {self._manager!r}", self._system):
            while (run := self._next(slot)) is not None:
                for number, (key, entry) in enumerate(run, 1):
                    outcome: Outcome
                    try:
                        outcome = self.send(key, entry)
                    except BaseException as error:  # Also sys.exit(): it must not take the thread along.
                        outcome = error
                    if not self._goes_on(slot, key, outcome, run[number:]):
                        break
        self._drop(slot)

    def _next(self, slot: CallSlot) -> Run | None:
        """The next run; None where this thread is one too many, or all is over."""
        with self._lock:
            while not self._runs:
                if self._closing or self._idle:
                    return None
                self._idle += 1
                self._work.wait()
                self._idle -= 1
            run = self._runs.popleft()
            slot.begin(run[0][1])
            return run

    def _goes_on(self, slot: CallSlot, key: bytes, outcome: Outcome, rest: Run) -> bool:
        """Keep the outcome of one; returns whether the `rest` of its run is delivered now."""
        with self._lock:
            self._outcomes[key] = outcome
            del self._submitted[key]
            # What it asks for, or its next attempt, comes before those behind it.
            if self._closing or isinstance(outcome, BaseException) or outcome:
                for other, _ in rest:
                    del self._submitted[other]
                rest = ()
            if rest:
                slot.begin(rest[0][1])
            else:
                slot.end()
                if self._closing:
                    self._work.notify_all()
            notify, self._notify_next = self._notify_next, False
        if notify:
            self._notify()
        return bool(rest)


def _describe(entry: OutboxEntry) -> str:
    return f"{entry.name!r} of instance {entry.key!r}, {entry.id}"


def _no_outbox(_key: bytes, _entry: OutboxEntry) -> list[Any]:
    raise AssertionError("there is no outbox yet")
