"""What `System` tells as it happens. Callers' threads and event loops."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Unpack

from actors.domain.lookup import unknown
from actors.domain.specs import check_message
from actors.queries.consistency import position_of, target_position
from actors.queries.options import WatchOptions
from actors.queries.result_typing import Query, Result
from actors.receipt import Receipt
from actors.subscriptions.callback_consumer import CallbackConsumer, checked_callback
from actors.subscriptions.consumer import Consumer, Delivery
from actors.subscriptions.consumer_registry import ConsumerStatus, ParkedStream
from actors.subscriptions.event_filter import event_filter
from actors.subscriptions.group_state import checked_name
from actors.subscriptions.options import ConsumerOptions, Types, checked_opening, whole_number
from actors.subscriptions.subscription import Subscription
from actors.subscriptions.waiters import seconds_of
from actors.system.base import SystemBase, checked_options
from actors.system.watch import Watch

__all__ = ["SubscriptionMethods"]

MOST_THREADS = 1_000


class SubscriptionMethods(SystemBase):
    """Subscriptions, consumers and watched queries."""

    def subscribe(
        self,
        after: Receipt | int = 0,
        *,
        until: Receipt | int | None = None,
        timeout: float | timedelta | None = None,
        stream: str | None = None,
        category: str | None = None,
        types: Types | None = None,
        tag: str | None = None,
    ) -> Subscription:
        """Every event after a position, in order, first from the log and then as they are committed.

        To be iterated over with `for` or `async for`; for one thread or task at a time. Ends at `until`, at its
        `close()`, when the system closes, or when no event came for `timeout` seconds. Only events of this `stream`,
        of this `category` (what stands before the first hyphen of a stream's name), of these `types` (classes or
        stored names) and with this `tag`, where they are given: all that are given have to hold.

        Raises `ValueError` or `TypeError` for what is no position, time or name, `UnknownMessage` for a type that is
        no event of the domain; iterating raises what reading the log does.
        """
        parts = self._running()
        return Subscription(
            parts.log,
            parts.progress,
            event_filter(parts.domain, stream, category, types, tag),
            position_of(after),
            None if until is None else position_of(until, "until"),
            None if timeout is None else seconds_of(timeout, "timeout"),
        )

    def consumer(self, name: str, **options: Unpack[ConsumerOptions]) -> Consumer:
        """A consumer of a persistent subscription: an iterator of `Delivery` that goes on where its name left off.

        Each event is delivered at least once, until it is acknowledged: `for delivery in consumer: ...;
        delivery.ack()`, or `async for`. Consumers of one name compete for the events; those of one stream are
        delivered in order, the next one once the one before is acknowledged. What is not acknowledged in time, or is
        refused with `nak()`, is delivered again, and after `max_deliveries` times parked, together with what follows
        it in its stream. `ConsumerOptions` says what the options are.

        Raises `ConsumerMismatch` where the name has another filter or start, or is open with other settings;
        `ValueError`, `TypeError`, `InvalidKey` or `UnknownMessage` for bad arguments. A new name waits for its commit
        and raises what that does.
        """
        parts = self._running()
        return parts.consumers.open(checked_opening(parts.domain, "consumer", name, options), 1)[0]

    def consume(
        self,
        name: str,
        callback: Callable[[Delivery], Any],
        threads: int = 1,
        **options: Unpack[ConsumerOptions],
    ) -> CallbackConsumer:
        """Have `callback(delivery)` called for every event, in so many `threads` that compete; otherwise as `consumer`.

        Its return acknowledges the event, unless it settled it itself. Its exception refuses it: it is delivered again
        after 0.1 seconds, then after twice as long each time, and parked after `max_deliveries`. The threads end with
        the handle's `close()`, with the system, and where `consumer` ends.
        """
        parts = self._running()
        opening = checked_opening(parts.domain, "consume", name, options)
        checked_callback(callback)
        consumers = parts.consumers.open(opening, whole_number("threads", threads, MOST_THREADS))
        return parts.consumers.callbacks(callback, consumers)

    def consumers(self) -> list[ConsumerStatus]:
        """The consumers that the store knows by name: where they are, what they have in hand, what is parked."""
        return self._running().consumers.status()

    def delete_consumer(self, name: str) -> None:
        """Forget a consumer, its position and what it parked; those of it that run end. Raises `UnknownName`.

        Waits for the commit, as the next three do.
        """
        self._running().consumers.delete(checked_name(name))

    def parked_streams(self, name: str) -> list[ParkedStream]:
        """The streams that a consumer parked, by position: where, why, and how many events wait behind. Raises `UnknownName`."""
        return self._running().consumers.parked(checked_name(name))

    def replay_parked(self, name: str, stream: str | None = None) -> int:
        """Deliver what is parked again, of one stream or of all, in the order of each; returns how many streams.

        Deliveries count from 1 again. Raises `UnknownName`, also for a stream that is not parked.
        """
        return self._running().consumers.replay(checked_name(name), stream)

    def discard_parked(self, name: str, stream: str, *, following: bool = False) -> None:
        """Give up the event that a stream is parked at, and go on with what follows it in its stream.

        With `following`, all that waits behind it up to now is given up, too. Raises `UnknownName`.
        """
        self._running().consumers.discard(checked_name(name), stream, following)

    # -- queries that are watched --------------------------------------------------------------
    def watch(
        self,
        query: Query[Result],
        *,
        until: Receipt | int | None = None,
        timeout: float | timedelta | None = None,
        **options: Unpack[WatchOptions],
    ) -> Watch[Result]:
        """A query's result, and then every result that differs from the one before, as the replicas apply events.

        To be iterated over with `for` or `async for`; for one thread or task at a time. The query is run again when
        the next result is asked for and one of its models changed: who is slow gets the latest, never a backlog.
        Ends once a result holds for `until`, at its `close()`, when the system closes, and when no other result came
        for `timeout` seconds. Options: `consistency`, `after`, `max_lag`; as for `query`.

        Raises `UnknownMessage`, `InvalidMessage`, `TypeError` or `ValueError`; iterating raises what the query does.
        """
        parts = self._running()
        spec = parts.domain.queries.get(type(query))
        if spec is None:
            raise unknown(query, "query", parts.domain)
        check_message(spec, query)
        checked_options(options, WatchOptions, "watch")
        # Each result asks for its own; what is no such thing is told here.
        target_position(parts.progress, tokens=self._queries.dispatcher.tokens, **options)
        return Watch(
            self._queries,
            query,
            tuple(model.name for model in spec.models),
            options,
            None if until is None else position_of(until, "until"),
            None if timeout is None else seconds_of(timeout, "timeout"),
        )
