"""The process managers of one open system: their desks, mailboxes and actors, and what `System` asks of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from threading import Condition
from typing import Any

from actors.definition.specs import CompiledDomain
from actors.errors import (
    ConsistencyTimeout,
    ProcessStopped,
    UnknownName,
)
from actors.health import ProcessHealth
from actors.mailbox import Mailbox
from actors.process.desk import Clock, Desk, Status
from actors.process.manager import ManagerActor
from actors.process.notes import About, Keys, OutboxEntry, Place, Values
from actors.process.outbox import OutboxActor
from actors.process.pending import PendingEffect, pending_effects
from actors.process.requests import InputLeft, SkipInput, Wake
from actors.process.spec import ProcessSpec
from actors.process.waiting import Deliver
from actors.replicas.progress import Progress
from actors.writer.writing import WriteGateway
from storage import EventLog
from storage.damage import damaged_records

__all__ = ["Processes"]

Exited = Callable[[str, BaseException | None], None]
Start = Callable[[Any], Any]


@dataclass(slots=True)
class Running:
    """One manager: its actors' mailboxes outlive them."""

    spec: ProcessSpec
    keys: Keys
    desk: Desk
    mailbox: Mailbox
    outbox: Mailbox
    delivers: bool
    """Whether effects are declared, or wait since they were: these are parked with that reason."""


class Processes:
    """Made before the actors start; any thread may ask."""

    def __init__(
        self, domain: CompiledDomain, log: EventLog, writes: WriteGateway, progress: Progress
    ) -> None:
        """Enters managers that are new to the store, and those whose version was raised. Opener's thread."""
        self._domain = domain
        self._log = log
        self._writes = writes
        self._progress = progress
        self._values = Values(domain.codec)
        self.clock = Clock()
        moved = Condition()
        self.running: dict[str, Running] = {}
        for name, spec in domain.processes.items():
            keys = Keys(name)
            delivers = bool(spec.effects or log.notes(keys.due, limit=1) or log.notes(keys.parked, limit=1))
            running = Running(spec, keys, Desk(moved), Mailbox(), Mailbox(), delivers)
            self._enter(running)
            self.running[name] = running

    def _enter(self, running: Running) -> None:
        spec, keys, codec = running.spec, running.keys, self._domain.codec
        stored, at = self._log.note(keys.about), self._log.note(keys.place)
        if stored is None or at is None:
            start = self._log.head if spec.start == "now" else 0
            about, place = About(spec.version, start), Place(start, 0)
        else:
            with damaged_records(f"process manager {spec.name!r}, in the log,", "restore a backup"):
                about, place = About.unpack(codec, stored), Place.unpack(at)
            if about.version < spec.version:
                until = place.position if about.until is None else about.until
                about = About(spec.version, about.start, until, clearing=True)
        notes = [(keys.about, about.pack(codec)), (keys.place, place.pack())]
        if notes != [(keys.about, stored), (keys.place, at)]:
            self._log.append([], notes=notes)
        running.desk.status = Status(place.position, place.instances, place.timers, rebuilding=about.until)

    # -- actors -------------------------------------------------------------------------------
    def actors(self, exited: Exited) -> Iterator[tuple[str, Mailbox, Start]]:
        """The name, mailbox and start of each actor."""
        for name, running in self.running.items():
            yield f"process-{name}", running.mailbox, self._manager(running, exited)
            if running.delivers:
                yield f"outbox-{name}", running.outbox, self._outbox(running, exited)

    @property
    def names(self) -> list[str]:
        """The actors' names."""
        return [name for name, _, _ in self.actors(lambda _name, _error: None)]

    def _manager(self, running: Running, exited: Exited) -> Start:
        return lambda child: ManagerActor.start(
            child.name,
            child.mailbox,
            exited,
            spec=running.spec,
            domain=self._domain,
            log=self._log,
            writes=self._writes,
            desk=running.desk,
            clock=self.clock,
            deliver=lambda: running.outbox.put(Deliver()) if running.delivers else None,
        )

    def _outbox(self, running: Running, exited: Exited) -> Start:
        return lambda child: OutboxActor.start(
            child.name,
            child.mailbox,
            exited,
            spec=running.spec,
            domain=self._domain,
            log=self._log,
            writes=self._writes,
            desk=running.desk,
            left=lambda: running.mailbox.put(InputLeft()),
        )

    def wake(self, *_news: Any) -> None:
        """After a commit, in the writer's thread: have the managers that have nothing to do look."""
        for running in self.running.values():
            # One that has messages to handle looks anyway.
            if running.mailbox.empty():
                running.mailbox.put(Wake())

    def advance(self, by_us: int) -> None:
        """Put the clock of the timers forward; for tests."""
        self.clock.advance(by_us)
        self.wake()

    # -- asking -------------------------------------------------------------------------------
    def _of(self, name: Any) -> Running:
        running = self.running.get(name) if isinstance(name, str) else None
        if running is None:
            raise UnknownName("process manager", name, self.running)
        return running

    def health(self) -> tuple[ProcessHealth, ...]:
        """How each one is."""
        return tuple(self._health(running) for running in self.running.values())

    def _health(self, running: Running) -> ProcessHealth:
        status = running.desk.status
        failure = status.failure
        return ProcessHealth(
            running.spec.name,
            running.spec.version,
            status.position,
            max(self._progress.head - status.position, 0),
            status.instances,
            status.timers,
            len(self._log.notes(running.keys.due)),
            len(self._log.notes(running.keys.parked)),
            status.rejections,
            status.rebuilding,
            None if failure is None else failure.what,
            None if failure is None else failure.text,
            status.trouble,
        )

    def state(self, name: str, key: str) -> Any:
        """An instance's state, None where there is none."""
        running = self._of(name)
        return self._values.instance(self._log.note(running.keys.state(key))).state

    def states(self, name: str, limit: int, after: str) -> list[tuple[str, Any]]:
        """The instances after a key, in the order of the keys."""
        keys = self._of(name).keys
        found = self._log.notes(keys.states, keys.states + after.encode("utf-8", "surrogatepass"), limit)
        return [
            (key[len(keys.states) :].decode("utf-8", "surrogatepass"), self._values.instance(value).state)
            for key, value in found
        ]

    def wait(self, timeout: float) -> int:
        """Wait until every manager has handled all that is committed and delivered what is to be delivered."""
        end = time.monotonic() + timeout

        def quiet() -> bool:
            return self._stopped() is not None or all(
                self._delivered(running)
                and _quiet(running.desk.status, self._progress.head, self.clock.now_us())
                for running in self.running.values()
            )

        for running in self.running.values():
            while not quiet() and time.monotonic() < end:
                # A commit moves the head and no desk: look again now and then.
                running.desk.wait_until(quiet, min(end - time.monotonic(), 0.05))
        stopped = self._stopped()
        if stopped is not None:
            raise ProcessStopped(stopped)
        if not quiet():
            raise ConsistencyTimeout(
                f"the process managers did not come to rest within {timeout:g} s: {self._left()}; look at processes()"
            )
        return self._progress.head

    def _delivered(self, running: Running) -> bool:
        # In this order: what is not in the outbox any more is in hand, and what came of it is in the inputs.
        keys = running.keys
        return not (
            self._log.notes(keys.due, limit=1)
            or running.desk.delivering
            or self._log.notes(keys.inputs, limit=1)
        )

    def _left(self) -> str:
        """What keeps those who wait waiting."""
        texts = []
        for one in self.health():
            if one.lag:
                texts.append(f"{one.name!r} is {one.lag} behind")
            if one.effects:
                texts.append(f"{one.name!r} has effects to deliver, or to try again: {one.effects}")
            if one.trouble:
                texts.append(f"{one.name!r} waits: {one.trouble}")
        return ", ".join(texts) or "there was always something new"

    def _stopped(self) -> str | None:
        for running in self.running.values():
            failure = running.desk.status.failure
            if failure is not None:
                name = running.spec.name
                advice = (
                    f"; mend it, or pass over it with skip_process({name!r})" if failure.skippable else ""
                )
                return f"process manager {name!r} is stopped at {failure.what}: {failure.error}{advice}"
        return None

    # -- what an operator does ----------------------------------------------------------------
    def skip(self, name: str, reason: str, timeout: float) -> str:
        """Pass over the input that a manager is stopped at; returns its id."""
        running = self._of(name)
        request = SkipInput(reason)
        running.mailbox.put(request)
        try:
            return request.future.result(timeout)
        except FutureTimeout:
            raise ConsistencyTimeout(
                f"the skip was not written within {timeout:g} s; look at processes() whether {name!r} goes on"
            ) from None

    def effects(self, name: str) -> list[PendingEffect]:
        """The effects that are not delivered, those that are parked last."""
        running = self._of(name)
        return pending_effects(self._log, running.keys, self._values, running.desk.tried)

    def release(self, name: str, key: str, timeout: float, *, drop: bool) -> None:
        """Deliver a parked effect again, or drop it."""
        running = self._of(name)
        known = []
        for parked, value in self._log.notes(running.keys.parked):
            entry = self._values.entry(value)
            if entry.id == key:
                self._move(running, parked, value, None if drop else entry, timeout)
                return
            known.append(entry.id)
        raise UnknownName(f"parked effect of process manager {name!r}", key, known)

    def _move(
        self, running: Running, parked: bytes, value: bytes, entry: OutboxEntry | None, timeout: float
    ) -> None:
        notes: list[tuple[bytes, bytes | None]] = [(parked, None)]
        if entry is not None:
            due = running.keys.due + parked[len(running.keys.parked) :]
            notes.append((due, self._values.pack_entry(entry._replace(reason="", attempts=0))))
        self._writes.step([], lambda _outcomes: notes, (parked, value), timeout).result(timeout)
        running.outbox.put(Deliver(again=True))


def _quiet(status: Status, head: int, now_us: int) -> bool:
    return status.quiet_at >= head and (status.next_due is None or status.next_due > now_us)
