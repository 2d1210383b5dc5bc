"""The process managers of one open system: their mailboxes and actors, and what `System` asks of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from threading import Condition
from typing import Any, TypeVar

from actors.domain.specs import CompiledDomain
from actors.errors import (
    ConsistencyTimeout,
    UnknownName,
)
from actors.health import ProcessManagerHealth
from actors.kernel.delivery_marks import DeliveryMarks
from actors.kernel.mailbox import Mailbox
from actors.kernel.running_calls import RunningCalls
from actors.process_managers.clock import Clock
from actors.process_managers.delivery_threads import DeliveryThreads
from actors.process_managers.effect_release import release_effect
from actors.process_managers.input_handler import handler_activity
from actors.process_managers.manager_actor import ManagerActor
from actors.process_managers.manager_handle import ManagerHandle
from actors.process_managers.messages import RejectionLeft, RetryInstance, SkipInput, SkipInstance, Wake
from actors.process_managers.outbox_actor import OutboxActor
from actors.process_managers.outbox_messages import DeliverEffects
from actors.process_managers.pending_effects import PendingEffect, pending_effects
from actors.process_managers.quarantined_instances import QuarantinedInstance, quarantined_instances
from actors.process_managers.quiescence import Quiescence
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.records import Checkpoint
from actors.process_managers.registration import register
from actors.process_managers.renaming import ids_of, name_in_store, require_own_ids
from actors.process_managers.status import Status
from actors.process_managers.status_board import StatusBoard
from actors.process_managers.stored_status import stored_status
from actors.replication.progress import Progress
from actors.writer.step_client import StepClient
from storage import EventLog
from storage.log.log_reader import LogReader

__all__ = ["ProcessManagers"]

Exited = Callable[[str, BaseException | None], None]
Start = Callable[[Any], Any]
T = TypeVar("T")

SHOWN = 3
"""How many of the instances that are set aside health names, and of the rejections that no handler took."""


class ProcessManagers:
    """Made before the actors start; any thread may ask."""

    def __init__(
        self,
        domain: CompiledDomain,
        log: EventLog | LogReader,
        steps: StepClient,
        progress: Progress,
        calls: RunningCalls,
        busy_limit: float,
        marks: DeliveryMarks,
        off: Callable[[], Exception] | None = None,
    ) -> None:
        """Enters managers that are new to the store, and those whose version was raised. Opener's thread.

        If they are `off`, nothing is entered and none of them runs; what needs one to run raises `off()`.
        A log that can't be written needs them off.

        `calls` shows the handlers and effects that run; one that does so for `busy_limit` seconds hangs. In
        `marks` it is noted which effects are being delivered.
        """
        self._marks = marks
        self._off = off
        self._calls = calls
        self._busy_limit = busy_limit
        self._domain = domain
        self._log: LogReader = log
        self._steps = steps
        self._progress = progress
        self._records = RecordCodec(domain.codec)
        self.clock = Clock()
        changed = Condition()
        self.handles: dict[str, ManagerHandle] = {}
        self._quiescence = Quiescence(
            self.handles, log, progress, self.clock, self._records, self.health, calls, changed
        )
        for name, spec in domain.process_managers.items():
            status = None
            if off is None:
                assert isinstance(log, EventLog), "a log that can't be written needs them off"
                status = register(log, domain.codec, spec)
            keys = RecordKeys(name_in_store(log, spec))
            spec.ids = ids_of(log, keys, spec)
            left = any(log.notes(one, limit=1) for one in (keys.due, keys.parked, keys.blocked))
            outbox = Mailbox()
            handle = ManagerHandle(
                spec,
                keys,
                StatusBoard(changed, calls.slot("handler", f"process manager {name!r}", handler_activity)),
                Mailbox(),
                outbox,
                DeliveryThreads(name, calls, partial(outbox.put, DeliverEffects()), system=progress),
                bool(spec.effects) or left,
            )
            if status is not None:
                handle.board.status = status
            self.handles[name] = handle
        specs = domain.process_managers.values()
        require_own_ids(specs)
        domain.reserved.update(spec.ids for spec in specs)
        for spec in specs:
            spec.managers |= domain.reserved

    # -- actors -------------------------------------------------------------------------------
    def actors(self, exited: Exited) -> Iterator[tuple[str, Mailbox, Start]]:
        """The name, mailbox and start of each actor; none if they are off."""
        if self._off is not None:
            return
        for name, handle in self.handles.items():
            yield f"manager-{name}", handle.mailbox, self._manager(handle, exited)
            if handle.has_outbox:
                yield f"outbox-{name}", handle.outbox, self._outbox(handle, exited)

    @property
    def names(self) -> list[str]:
        """The actors' names."""
        return [name for name, _, _ in self.actors(lambda _name, _error: None)]

    def _manager(self, handle: ManagerHandle, exited: Exited) -> Start:
        return lambda child: ManagerActor.start(
            child.name,
            child.mailbox,
            exited,
            spec=handle.spec,
            domain=self._domain,
            log=self._log,
            steps=self._steps,
            board=handle.board,
            clock=self.clock,
            deliver=lambda: handle.outbox.put(DeliverEffects()) if handle.has_outbox else None,
        )

    def _outbox(self, handle: ManagerHandle, exited: Exited) -> Start:
        return lambda child: OutboxActor.start(
            child.name,
            child.mailbox,
            exited,
            spec=handle.spec,
            domain=self._domain,
            log=self._log,
            steps=self._steps,
            board=handle.board,
            threads=handle.threads,
            marks=self._marks,
            hangs=self._busy_limit,
            rejection_left=lambda: handle.mailbox.put(RejectionLeft()),
        )

    def wake(self, *_news: Any) -> None:
        """After a commit, in the writer's thread: have the managers that have nothing to do look."""
        if self._off is not None:
            return
        for handle in self.handles.values():
            # One that has messages to handle looks anyway.
            if handle.mailbox.empty():
                handle.mailbox.put(Wake())

    def close(self) -> None:
        """After the actors: no effect is delivered any more. Those that hang are left alone."""
        for handle in self.handles.values():
            handle.threads.close(0.0)

    def advance(self, by_us: int) -> None:
        """Put the clock of the timers forward; for tests."""
        self.clock.advance(by_us)
        self.wake()

    # -- asking -------------------------------------------------------------------------------
    def _of(self, name: Any) -> ManagerHandle:
        handle = self.handles.get(name) if isinstance(name, str) else None
        if handle is None:
            raise UnknownName("process manager", name, self.handles)
        return handle

    def health(self) -> tuple[ProcessManagerHealth, ...]:
        """How each one is."""
        return tuple(self._health(handle) for handle in self.handles.values())

    def _health(self, handle: ManagerHandle) -> ProcessManagerHealth:
        status = self._status(handle)
        failure = status.failure
        quarantined = self._quarantined_count(handle)
        unhandled = self._records.unhandled(self._log.note(handle.keys.unhandled))
        return ProcessManagerHealth(
            handle.spec.name,
            handle.spec.version,
            status.position,
            max(self._progress.head - status.position, 0),
            status.instances,
            status.timers,
            len(self._log.notes(handle.keys.due)),
            len(self._log.notes(handle.keys.parked)),
            unhandled.total,
            status.rebuilding,
            None if failure is None else failure.what,
            None if failure is None else failure.text,
            status.trouble,
            quarantined,
            tuple(one.text for one in self.quarantined(handle.spec.name, SHOWN)) if quarantined else (),
            round(self._progress.lag_seconds(status.position), 6),
            unhandled.last[-SHOWN:],
            len(self._log.notes(handle.keys.blocked)),
        )

    def _status(self, handle: ManagerHandle) -> Status:
        if self._off is None:
            return handle.board.status
        return stored_status(self._log, self._domain.codec, handle.keys, handle.spec.name)

    def has_work(self, name: str) -> bool:
        """Whether a manager has inputs to handle or effects to deliver now; not while it is stopped."""
        handle = self._of(name)
        status = handle.board.status
        if status.failure is not None:
            return False
        now_us = self.clock.now_us()
        return (
            status.quiet_at < self._progress.head
            or (status.next_due is not None and status.next_due <= now_us)
            or handle.board.delivering
            or bool(self._log.notes(handle.keys.due, limit=1))
        )

    def off_because(self) -> str | None:
        """Why none of them runs; None if those that there are do."""
        return None if self._off is None else str(self._off())

    def _require_on(self) -> None:
        if self._off is not None:
            raise self._off()

    def _quarantined_count(self, handle: ManagerHandle) -> int:
        """How many instances are set aside; those of a step that is not committed yet do not count."""
        stored = self._log.note(handle.keys.checkpoint)
        return 0 if stored is None else Checkpoint.unpack(stored).quarantined

    def state(self, name: str, key: str) -> Any:
        """An instance's state, None where there is none."""
        handle = self._of(name)
        return self._records.instance(self._log.note(handle.keys.state(key))).state

    def states(self, name: str, limit: int, after: str) -> list[tuple[str, Any]]:
        """The instances after a key, in the order of the keys."""
        keys = self._of(name).keys
        found = self._log.notes(keys.states, keys.states + after.encode("utf-8", "surrogatepass"), limit)
        return [
            (key[len(keys.states) :].decode("utf-8", "surrogatepass"), self._records.instance(value).state)
            for key, value in found
        ]

    def wait(self, timeout: float) -> int:
        """Wait until every manager has handled all commits and delivered its effects; returns the head."""
        self._require_on()
        return self._quiescence.wait(timeout)

    # -- what an operator does ----------------------------------------------------------------
    def skip(self, name: str, reason: str, timeout: float) -> str:
        """Pass over the input that a manager is stopped at; returns its id."""
        handle = self._of(name)
        self._require_on()
        request = SkipInput(reason)
        handle.mailbox.put(request)
        return self._answered(name, request.future, "the skip was not written", timeout)

    def quarantined(self, name: str, limit: int, after: str = "") -> list[QuarantinedInstance]:
        """The instances that are set aside after a key, in the order of the keys."""
        return quarantined_instances(self._log, self._of(name).keys, self._records, limit, after)

    def retry_instance(self, name: str, key: str, timeout: float) -> bool:
        """Retry an instance that is set aside; returns whether it got past the input that it failed on."""
        request, handle = RetryInstance(key), self._of(name)
        self._require_on()
        handle.mailbox.put(request)
        return self._answered(name, request.future, "the instance was not tried again", timeout)

    def skip_instance(self, name: str, key: str, reason: str, timeout: float) -> str:
        """Pass over the input that an instance is set aside at; returns its id."""
        request, handle = SkipInstance(key, reason), self._of(name)
        self._require_on()
        handle.mailbox.put(request)
        return self._answered(name, request.future, "the skip was not written", timeout)

    @staticmethod
    def _answered(name: str, future: Future[T], what: str, timeout: float) -> T:
        try:
            return future.result(timeout)
        except FutureTimeout:
            raise ConsistencyTimeout(
                f"{what} within {timeout:g} s; look at process_managers() whether {name!r} goes on"
            ) from None

    def effects(self, name: str) -> list[PendingEffect]:
        """The effects that are not delivered: those that wait, then those that are parked."""
        handle = self._of(name)
        return pending_effects(self._log, handle.keys, self._records, handle.board.attempts)

    def release_effect(self, name: str, key: str, timeout: float, *, drop: bool) -> None:
        """Deliver a parked effect again, or drop it."""
        handle = self._of(name)
        self._require_on()
        release_effect(
            handle,
            key,
            timeout,
            drop=drop,
            log=self._log,
            records=self._records,
            steps=self._steps,
        )
