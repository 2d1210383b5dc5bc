"""One consumer of a group, an iterator of deliveries; and a delivery, which is acknowledged, refused or
parked.

Runs in the consumer's thread or event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from actors.errors import CommandTimeout, SystemClosed
from actors.kernel.actor import refuse_in_actor
from actors.kernel.lazy_asyncio import asyncio
from actors.subscriptions.consumer_group import ConsumerGroup
from actors.subscriptions.delivery_state import DeliveryState
from actors.subscriptions.delivery_window import DeliveryWindow
from actors.subscriptions.subscription import refuse_forked
from actors.subscriptions.waiters import seconds_of
from actors.subscriptions.waiting_iterator import AGAIN, ENDED, WAIT, Outcome, WaitingIterator
from storage import RecordedEvent
from storage.value_text import short_repr

__all__ = ["Consumer", "Delivery"]

ACK_TIMEOUT = 30.0
"""Seconds that `ack(wait=True)` waits for the disk."""


class Delivery:
    """An event that a consumer got. To be settled once, from any thread; another time does nothing.

    One that is not settled within the consumer's `ack_timeout` is delivered again, perhaps to another
    consumer.
    """

    __slots__ = ("_group", "_settled", "_token", "attempt", "recorded")

    def __init__(self, group: ConsumerGroup, entry: DeliveryState) -> None:
        """For the consumer."""
        self._group = group
        self._token = entry.token
        self._settled = False
        self.recorded: RecordedEvent = group.own(entry.recorded)
        self.attempt = entry.attempts
        """1 at the first delivery; it counts on in the next one after a failure."""

    @property
    def event(self) -> Any:
        """The event itself."""
        return self.recorded.event

    @property
    def position(self) -> int:
        """Its place in the log."""
        return self.recorded.position

    @property
    def key(self) -> str:
        """A text that is this event's alone in the world, for whoever is to know a repetition: the same at
        each delivery of it, to whichever consumer; at most 60 ASCII characters. Another store, or this one
        after a restore, has another one for what it has at the position."""
        return self._group.key_of(self.recorded)

    @property
    def stream(self) -> str:
        """The stream that it is of."""
        return self.recorded.stream

    def ack(self, wait: bool = False) -> bool:
        """It is handled, and the next one of its stream may be delivered; False where it was settled before.

        What is acknowledged is stored with the next commit, without waiting for it; a crash before that
        delivers it again. With `wait` this returns once it is on disk; then it never comes again. Raises
        `CommandTimeout` where that took 30 seconds, or the error of the write: it may come again. Once the
        system is closed nothing can be settled: this returns False, and with `wait` raises `SystemClosed`.
        """
        if wait:
            refuse_in_actor("ack", self._group.progress)
        made, stored = self._ack()
        if wait:
            self._require_open()
            try:
                self._group.writer.wait(stored).result(ACK_TIMEOUT)
            except TimeoutError:
                raise self._not_stored() from None
        return made

    async def aack(self) -> bool:
        """As `ack(wait=True)`, for asyncio: the event loop goes on meanwhile."""
        made, stored = self._ack()
        self._require_open()
        try:
            async with asyncio.timeout(ACK_TIMEOUT):
                await asyncio.wrap_future(self._group.writer.wait(stored))
        except TimeoutError:
            raise self._not_stored() from None
        return made

    def _ack(self) -> tuple[bool, int]:
        if self._group.stores_nothing:
            return False, 0
        position, part = self.recorded.position, self.recorded.part

        # As `_settle`, in one call less: it is done for each delivery.
        def once(window: DeliveryWindow, _now: float) -> bool:
            if not self._settled and window.ack(position, part):
                self._settled = True
                return True
            return False

        return self._change(once)

    def nak(self, delay: float | timedelta = 0.0, reason: str = "refused with nak()") -> bool:
        """It could not be handled: deliver it again, `delay` seconds from now; False where it was settled
        before.

        After `max_deliveries` it is parked instead, with this reason.
        """
        position, token, seconds = self.recorded.position, self._token, seconds_of(delay, "delay")
        reason = _text(reason)
        return self._settle(lambda window, now: window.nak(position, token, now, seconds, reason))[0]

    def park(self, reason: str) -> bool:
        """It can't be handled: park its stream, from this event on; False where it was settled before.

        `System.parked_streams` lists it with the reason, until `replay_parked` or `discard_parked`.
        """
        position, token, reason = self.recorded.position, self._token, _text(reason)
        return self._settle(lambda window, _now: window.park(position, token, reason))[0]

    def in_progress(self) -> bool:
        """It takes longer: `ack_timeout` counts from now on; False where it was settled, or delivered again,
        or the system closed.
        """
        if self._group.stores_nothing:
            return False
        position, token = self.recorded.position, self._token
        made, _ = self._change(lambda window, now: window.extend(position, token, now))
        return made

    def _settle(self, change: Callable[[DeliveryWindow, float], bool]) -> tuple[bool, int]:
        if self._group.stores_nothing:
            return False, 0

        def once(window: DeliveryWindow, now: float) -> bool:
            # An acknowledgement that comes late counts, but not from whoever refused it.
            if not self._settled and change(window, now):
                self._settled = True
                return True
            return False

        return self._change(once)

    def _change(self, change: Callable[[DeliveryWindow, float], bool]) -> tuple[bool, int]:
        if self._group.progress.forked:
            refuse_forked(self._group.progress, "delivery", "consume")
        return self._group.settle(self.recorded.stream, change)

    def _require_open(self) -> None:
        if self._group.progress.closed:
            raise SystemClosed(
                f"the system was closed before position {self.recorded.position} was acknowledged to "
                "consumer "
                f"{self._group.name!r}; it is delivered again when the system is open, unless it was "
                "settled before"
            )

    def _not_stored(self) -> CommandTimeout:
        return CommandTimeout(
            "",
            f"the acknowledgement of position {self.recorded.position} to consumer "
            f"{self._group.name!r} was not on "
            f"disk within {ACK_TIMEOUT:g} s; it may be delivered again",
        )

    def __repr__(self) -> str:
        return f"Delivery({self.recorded!r}, attempt={self.attempt})"


class Consumer(WaitingIterator[Delivery]):
    """An iterator and an async iterator of `Delivery`, from `System.consumer`. For one thread or task at a
    time.

    Ends once everything through `until` is acknowledged or parked, at `close`, when the system closes, and
    when nothing could be delivered for `timeout` seconds. In a `with` block it is closed at the end.
    """

    def __init__(self, group: ConsumerGroup, until: int | None, timeout: float | None) -> None:
        """For `System.consumer`."""
        super().__init__("consumer", group.progress, timeout)
        self._group = group
        self._until = until
        self._holder = object()
        self._ended = False
        group.join(self)

    @property
    def name(self) -> str:
        """The name under which it competes."""
        return self._group.name

    def close(self) -> None:
        """End it: what it was given and has not settled is delivered to others. Any thread; twice is
        harmless.
        """
        self.stop()
        if not self._progress.forked:
            self._group.leave(self, self._holder)

    # -- iterating ---------------------------------------------------------------------------
    def _next(self) -> Delivery | Outcome:
        group = self._group
        if self._progress.forked:
            refuse_forked(self._progress, "consumer", "consume")
        if self._ended or self._stopped or group.closed:
            self._ended = True
            return ENDED
        entry, again = group.take(self._until, self._holder)
        if entry is None:
            if again:
                return AGAIN
            if self._until is not None and group.reached(self._until):
                self._ended = True
                return ENDED
            return WAIT
        self._deadline.renew()
        return Delivery(group, entry)

    def _register(self, waiter: Callable[[], None]) -> Delivery | Outcome:
        waits = self._group.register(waiter)
        found = self._next()
        if found is WAIT:
            if self._deadline.left() == 0 or self._progress.closed:
                self._ended = True
                return ENDED
            if not waits:
                return AGAIN
        return found

    def _seconds_left(self) -> float:
        group = self._group
        # What another consumer gets while this one waits runs out no earlier than this.
        times = (self._deadline.left(), group.next_due(), group.policy.ack_timeout)
        return min(seconds for seconds in times if seconds is not None)

    def _unregister(self, waiter: Callable[[], None], called: bool) -> None:  # noqa: ARG002
        self._group.unregister(waiter)


def _text(reason: str) -> str:
    """The reason as it can be stored: messages of errors may name files whose names are no UTF-8."""
    if not isinstance(reason, str):
        raise TypeError(f"reason= is text, not {short_repr(reason)}; give str(error) for an error")
    return reason.encode(errors="backslashreplace").decode()
