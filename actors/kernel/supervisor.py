"""The supervisor: starts every other actor, and starts it again with backoff when it dies. One thread.

It also does the housekeeping that needs a clock: views that are too old, deciders that do not
return, stopped models that are due for another try, reader slots of dead processes. A worker process is
started again by the actor that stands in for its replica, when that actor starts; a supervisor inside the
worker looks after the actors there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pykka
from pykka import messages as pykka_messages
from pykka._envelope import Envelope

from actors.errors import UnknownName, described
from actors.kernel.actor import ActorKilled, Kill, SupervisedActor
from actors.kernel.backoff import backoff
from actors.kernel.mailbox import IdleTimeout, Mailbox, Request
from actors.kernel.uninterrupted_call import InterruptSafeEvent, UninterruptedCall
from storage import LimitReached

__all__ = ["ActorSlot", "Supervisor", "Exited"]

logger = logging.getLogger("onewriter.supervisor")

HOUSEKEEPING_INTERVAL = 0.1
"""Seconds from one housekeeping to the next."""
BACKOFF_FIRST, BACKOFF_LAST = 0.02, 5.0
STEADY = 10.0
"""Seconds that an actor has to live for its backoff to be reset."""

Start = Callable[["ActorSlot"], "pykka.ActorRef[Any]"]


class ActorSlot:
    """What stays of an actor while its incarnations come and go: name, mailbox, and the record of
    its starts.
    """

    def __init__(self, name: str, mailbox: Mailbox, start: Start) -> None:
        self.name = name
        self.mailbox = mailbox
        self.starts = 0
        self.alive = False
        self.last_error: str | None = None
        self.exited = InterruptSafeEvent()
        self.start_error: Exception | None = None
        """Why the last attempt to start it failed, None if it did not."""
        self._start = start
        self._attempts = 0
        self._since = 0.0
        self.due: float | None = 0.0

    def start(self) -> None:
        """Start an incarnation, or note that it can't be; the supervisor's thread."""
        self.due = None
        self._since = time.monotonic()
        self.exited.clear()
        self.alive = True
        # Counted first: whoever sees what an incarnation did sees it counted.
        self.starts += 1
        self.start_error = None
        try:
            self._start(self)
        except Exception as error:
            self.start_error = error
            self.starts -= 1
            logger.exception("actor %s could not be started; it is tried again", self.name)
            self.note_exit(error)
            self.exited.set()

    def note_exit(self, error: BaseException | None) -> None:
        """Note the end of an incarnation and when the next one is due."""
        now = time.monotonic()
        self.alive = False
        if error is not None:
            self.last_error = described(error)
        if now - self._since > STEADY:
            self._attempts = 0
        self.due = now + backoff(BACKOFF_FIRST, BACKOFF_LAST, self._attempts)
        # One that was asked to die has no fault that a longer wait could mend.
        if not isinstance(error, ActorKilled):
            self._attempts += 1

    def stop(self) -> None:
        """Ask it to stop after what waits in its mailbox."""
        self.mailbox.put(Envelope(pykka_messages._ActorStop()))


class Supervisor(SupervisedActor):
    """Starts the actors of `slots`, in that order, and restarts them; calls `housekeeping` at every
    interval.
    """

    def __init__(
        self,
        name: str,
        slots: Mapping[str, ActorSlot],
        housekeeping: Callable[[], None],
    ) -> None:
        self._ended = InterruptSafeEvent()
        super().__init__(
            name, Mailbox(idle_timeout=HOUSEKEEPING_INTERVAL), lambda _name, _error: self._ended.set()
        )
        self.slots = slots
        self.closing = False
        self._begun = False
        self._housekeeping_due = 0.0
        self._housekeeping = housekeeping
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._all_started = InterruptSafeEvent()
        self._beginning = UninterruptedCall(f"onewriter-{name}-starting", self._begin)

    def actor_exited(self, name: str, error: BaseException | None) -> None:
        """Called by a dying actor in its own thread."""
        slot = self.slots[name]
        slot.note_exit(error)
        slot.exited.set()
        self.mailbox.put(Exited(name, error))

    def begin(self) -> None:
        """Start the supervisor's own thread, which starts every actor. `Actor.start` does it for other
        actors.

        Raises `LimitReached` where no thread can be had. Interrupted, it may have begun: `end` sees to that.
        """
        self._beginning.run()

    def _begin(self) -> None:
        pykka.ActorRegistry.register(self.actor_ref)
        self._start_actor_loop()
        self._begun = True

    def end(self, timeout: float) -> bool:
        """Stop the supervisor itself, if it has begun; a caller's thread, after the actors were stopped."""
        self._beginning.cancel()
        if not self._begun:
            return True
        self.mailbox.put(Envelope(pykka_messages._ActorStop()))
        return self._ended.wait(timeout)

    def on_start(self) -> None:
        """Start every actor."""
        self._start_due()

    def on_receive(self, message: Any) -> None:
        """Restart the actors that are due, and do the housekeeping at every interval."""
        kind = message.__class__
        if kind is not IdleTimeout and kind is not Exited:
            super().on_receive(message)
            return
        self._start_due()
        now = time.monotonic()
        if now >= self._housekeeping_due:
            self._housekeeping_due = now + HOUSEKEEPING_INTERVAL
            try:
                self._housekeeping()
            except Exception:
                logger.exception("housekeeping failed; it is tried again at the next interval")
        self.mailbox.idle_timeout = self._until_due()

    def _until_due(self) -> float:
        """Seconds until a restart or the housekeeping is due."""
        due = self._housekeeping_due
        if not self.closing:
            for slot in self.slots.values():
                if slot.due is not None:
                    due = min(due, slot.due)
        return max(due - time.monotonic(), 0.0)

    def _start_due(self) -> None:
        now = time.monotonic()
        for slot in self.slots.values():
            with self._changed:
                if self.closing or slot.due is None or slot.due > now or slot.alive:
                    continue
                slot.start()
                self._changed.notify_all()
        if not self._all_started.is_set() and all(
            slot.starts or isinstance(slot.start_error, LimitReached) for slot in self.slots.values()
        ):
            self._all_started.set()

    def stop_starting(self) -> None:
        """Start no actor any more from the return of this on; a caller's thread."""
        # The lock itself, for a Condition may stay locked where an interrupt comes at its end.
        with self._lock:
            self.closing = True

    def wait_started(self, timeout: float) -> bool:
        """Whether every actor has been started once within `timeout` seconds; a caller's thread.

        Raises `LimitReached` where no thread can be had for one.
        """
        waited = self._all_started.wait(timeout)
        for slot in self.slots.values():
            if isinstance(slot.start_error, LimitReached) and not slot.starts:
                raise slot.start_error
        return waited

    def kill(self, name: str, timeout: float) -> bool:
        """Have an actor die as if it had failed, and wait until it is back; a caller's thread."""
        if name not in list(self.slots):
            raise UnknownName("actor", name, self.slots)
        slot = self.slots[name]
        # Not while it is being started: that start is not the one that is waited for.
        with self._changed:
            starts = slot.starts
        slot.mailbox.put(Kill())
        with self._changed:
            return self._changed.wait_for(lambda: slot.starts > starts and slot.alive, timeout)


class Exited(Request):
    """An actor to the supervisor, as its last act. `error` is None after an orderly stop."""

    __slots__ = ("error", "name")

    def __init__(self, name: str, error: BaseException | None) -> None:
        self.name = name
        self.error = error
