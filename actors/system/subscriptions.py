"""How a program follows changes: subscriptions, consumers, watches. Callers' threads and event loops."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Unpack

from actors.domain.lookup import unknown
from actors.domain.specs import check_message
from actors.kernel.late_import import late_import
from actors.queries.consistency import position_of, target_position
from actors.queries.options import WatchOptions
from actors.queries.result_typing import Query, Result
from actors.receipt import Receipt
from actors.subscriptions.group_keys import checked_name
from actors.system.base import SystemBase, checked_options

if TYPE_CHECKING:
    from actors.subscriptions.callback_consumer import CallbackConsumer
    from actors.subscriptions.consumer import Consumer, Delivery
    from actors.subscriptions.consumer_status import ConsumerStatus, ParkedStream
    from actors.subscriptions.options import ConsumerOptions, Types
    from actors.subscriptions.subscription import Subscription
    from actors.system.watch import Watch

__all__ = ["SubscriptionMethods"]

MOST_THREADS = 1_000


class SubscriptionMethods(SystemBase):
    """Subscriptions, consumers and watches. What they need is imported when the first one is asked for."""

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
        undecodable: bool = False,
    ) -> Subscription:
        """Every event after a position, in order, first from the log and then as they are committed.

        Iterate over it with `for` or `async for`, in one thread or task at a time. It ends at `until`, at its
        `close()`, when the system closes, or after `timeout` seconds without an event.

        Filters, all of which have to match: `stream`; `category`, the part of a stream's name before the
        first hyphen; `types`, event classes or their stored names; `tag`.

        An event that is wanted and can't be decoded raises its `CodecError`. With `undecodable` it is an
        `Undecodable` instead.

        Raises `ValueError` or `TypeError` for something that is not a position, a time or a name,
        `UnknownMessage` for a type that is not an event of the domain; iterating raises what reading the log
        does.
        """
        with late_import("what subscriptions need"):
            from actors.subscriptions.event_filter import event_filter
            from actors.subscriptions.subscription import Subscription
            from actors.subscriptions.waiters import seconds_of

        parts = self._running()
        wanted = event_filter(parts.domain, stream, category, types, tag)
        self._guarded("events", types=wanted.types, stream=wanted.stream or None)
        return Subscription(
            parts.log,
            parts.progress,
            wanted,
            position_of(after),
            None if until is None else position_of(until, "until"),
            None if timeout is None else seconds_of(timeout, "timeout"),
            undecodable,
        )

    def consumer(self, name: str, **options: Unpack[ConsumerOptions]) -> Consumer:
        """A consumer of a persistent subscription: an iterator of `Delivery` that continues where its name
        stopped.

        Each event is delivered at least once, until it is acknowledged: `for delivery in consumer: ...;
        delivery.ack()`, or `async for`. Consumers of one name compete for the events. Events of one stream
        are delivered in order, the next one after the one before is acknowledged. An event that is not
        acknowledged in time, or is refused with `nak()`, is delivered again; after `max_deliveries` it is
        parked, together with the events that follow it in its stream. `ConsumerOptions` says what the options
        are.

        Raises `ConsumerMismatch` if the name has another filter or start, or is open with other settings;
        `ValueError`, `TypeError`, `InvalidKey` or `UnknownMessage` for bad arguments. A new name waits for
        its commit and raises what that does.
        """
        with late_import("what consumers need"):
            from actors.subscriptions.options import checked_spec
        parts = self._running()
        spec = checked_spec(parts.domain, "consumer", name, options)
        self._guarded("events", types=spec.wanted.types, stream=spec.wanted.stream or None)
        return parts.consumers.registry.open(spec, 1)[0]

    def consume(
        self,
        name: str,
        callback: Callable[[Delivery], Any],
        threads: int = 1,
        **options: Unpack[ConsumerOptions],
    ) -> CallbackConsumer:
        """Call `callback(delivery)` for every event, in so many competing `threads`; otherwise as `consumer`.

        When the callback returns, the event is acknowledged, unless the callback settled it itself. When it
        raises, the event is refused: it is delivered again after 0.1 seconds, then after twice as long each
        time, and parked after `max_deliveries`. The threads end with the handle's `close()`, with the system,
        and when a `consumer` would.
        """
        with late_import("what consumers need"):
            from actors.subscriptions.callback_consumer import checked_callback
            from actors.subscriptions.options import checked_spec, whole_number

        parts = self._running()
        spec = checked_spec(parts.domain, "consume", name, options)
        self._guarded("events", types=spec.wanted.types, stream=spec.wanted.stream or None)
        checked_callback(callback)
        consumers = parts.consumers.registry.open(spec, whole_number("threads", threads, MOST_THREADS))
        return parts.consumers.registry.callbacks(callback, consumers)

    def consumers(self) -> list[ConsumerStatus]:
        """The consumers in the store, by name: their positions, what is in flight and what is parked."""
        return self._running().consumers.registry.status()

    def delete_consumer(self, name: str) -> None:
        """Forget a consumer, its position and what it parked; consumers of that name that run end.

        Waits for the commit, as the next three do. Raises `UnknownName`.
        """
        self._running().consumers.registry.delete(checked_name(name))

    def parked_streams(self, name: str) -> list[ParkedStream]:
        """The streams that a consumer parked, by position: at which event, why, and how many events wait.

        Raises `UnknownName`.
        """
        return self._running().consumers.registry.parked(checked_name(name))

    def replay_parked(self, name: str, stream: str | None = None) -> int:
        """Deliver the parked events of one stream, or of all, again in their order; returns how many streams.

        Deliveries count from 1 again. Raises `UnknownName`, also for a stream that is not parked.
        """
        return self._running().consumers.registry.replay(checked_name(name), stream)

    def discard_parked(self, name: str, stream: str, *, following: bool = False) -> None:
        """Give up the event at which a stream is parked, and continue with the next one of the stream.

        With `following`, all events that wait behind it now are given up too. Raises `UnknownName`.
        """
        self._running().consumers.registry.discard(checked_name(name), stream, following)

    # -- live queries -------------------------------------------------------------------------
    def watch(
        self,
        query: Query[Result],
        *,
        until: Receipt | int | None = None,
        timeout: float | timedelta | None = None,
        **options: Unpack[WatchOptions],
    ) -> Watch[Result]:
        """A query's result, then every result that differs from the one before, as replicas apply events.

        Iterate over it with `for` or `async for`, in one thread or task at a time. The query runs again when
        the next result is asked for and one of its models has changed: a slow reader gets the latest result,
        and no backlog builds up. It ends once a result holds for `until`, at its `close()`, when the system
        closes, or after `timeout` seconds without another result. Options: `consistency`, `after`, `max_lag`;
        as for `query`.

        Raises `UnknownMessage`, `InvalidMessage`, `TypeError` or `ValueError`; iterating raises what the
        query does.
        """
        with late_import("what watches need"):
            from actors.subscriptions.waiters import seconds_of
            from actors.system.watch import Watch

        parts = self._running()
        spec = parts.domain.queries.get(type(query))
        if spec is None:
            raise unknown(query, "query", parts.domain)
        check_message(spec, query)
        checked_options(options, WatchOptions, "watch")
        # Each result has a target of its own; options that make no sense are refused here.
        target_position(parts.progress, tokens=self._queries.dispatcher.tokens, **options)
        return Watch(
            self._queries,
            query,
            tuple(model.name for model in spec.models),
            options,
            None if until is None else position_of(until, "until"),
            None if timeout is None else seconds_of(timeout, "timeout"),
        )
