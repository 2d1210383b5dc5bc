"""The callback form of a consumer: threads that call a function for every delivery, and acknowledge what
returns.
"""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from actors.kernel.backoff import backoff
from actors.kernel.closeable import BlockingCloseable
from actors.kernel.running_calls import RunningCalls
from actors.subscriptions.consumer import Consumer, Delivery
from storage import LimitReached
from storage.value_text import short_repr

__all__ = ["CallbackConsumer", "checked_callback"]

logger = logging.getLogger("onewriter.consumers")

BACKOFF = 0.1
"""Seconds until what failed is delivered again; twice as long after each further time."""

LONGEST_BACKOFF = 30.0


def checked_callback(callback: Any) -> Callable[[Delivery], Any]:
    """The callback. Raises `TypeError` for what can't be called here."""
    if inspect.iscoroutinefunction(callback):
        raise TypeError(
            f"consume() calls plain functions in threads of its own, and {short_repr(callback)} is a "
            "coroutine function; "
            "in an event loop write: async for delivery in system.consumer(name): ..."
        )
    if not callable(callback):
        raise TypeError(f"consume(name, callback) takes a function of a delivery, not {short_repr(callback)}")
    return callback  # type: ignore[no-any-return]


class CallbackConsumer(BlockingCloseable):
    """Threads that handle the deliveries of a name, from `System.consume`. Closed with the system, or by
    `close`.
    """

    def __init__(
        self, callback: Callable[[Delivery], Any], consumers: Sequence[Consumer], calls: RunningCalls
    ) -> None:
        """For `System.consume`; starts a thread for each of the consumers. `calls` shows the callbacks that
        run.
        """
        self._calls = calls
        self._callback = callback
        self._consumers = consumers
        self.failure: BaseException | None = None
        """Why the events could not be read any more, or None."""
        self._threads = [
            threading.Thread(
                target=self._work, args=(one,), name=f"onewriter-consumer-{one.name}-{number}", daemon=True
            )
            for number, one in enumerate(consumers, 1)
        ]
        try:
            for thread in self._threads:
                thread.start()
        except BaseException as error:
            # Nobody gets hold of those that have begun.
            self.stop()
            if isinstance(error, RuntimeError):
                raise LimitReached(
                    f"no thread can be had for a callback of consumer {consumers[0].name!r} ({error}); give "
                    "fewer "
                    "threads, or raise the limit (ulimit -u, the container's limit of processes)"
                ) from error
            raise

    @property
    def name(self) -> str:
        """The name under which its threads compete."""
        return self._consumers[0].name

    @property
    def running(self) -> bool:
        """Whether any of its threads still runs."""
        return any(thread.is_alive() for thread in self._threads)

    def has(self, thread: int) -> bool:
        """Whether the thread with this identifier is one of these, and runs."""
        return any(one.ident == thread and one.is_alive() for one in self._threads)

    def wait(self, timeout: float | None = None, asker: int | None = None) -> bool:
        """Wait until its threads ended: at `until=`, `timeout=` or a close; False where that took longer.

        Not for the thread that waits for this call: that at hand, or the one that `asker` identifies.
        """
        end = None if timeout is None else time.monotonic() + timeout
        if asker is None:
            asker = threading.get_ident()
        threads = [thread for thread in self._threads if thread.ident != asker]
        for thread in threads:
            thread.join(None if end is None else max(end - time.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in threads)

    def close(self, timeout: float = 10.0) -> bool:
        """Stop taking deliveries, wait for the callbacks that run, and end; False where they took too long.

        What they have in flight then is delivered to others at once, and their acknowledgement still counts.
        """
        self.stop()
        done = self.wait(timeout)
        for consumer in self._consumers:
            consumer.close()
        return done

    def _close_waits_for_this_thread(self) -> bool:
        return self.has(threading.get_ident())

    def stop(self) -> None:
        """Take no further delivery."""
        for consumer in self._consumers:
            consumer.stop()

    def _work(self, consumer: Consumer) -> None:
        slot = self._calls.slot("consumer", consumer.name, _place_of)
        try:
            for delivery in consumer:
                slot.begin(delivery)
                self._handle(delivery)
                slot.end()
        except Exception as error:
            self.failure = error
            logger.exception("consumer %r can't read on and ends", consumer.name)
        finally:
            self._calls.drop(slot)
            consumer.close()

    def _handle(self, delivery: Delivery) -> None:
        try:
            self._callback(delivery)
        except (
            BaseException
        ) as error:  # A sys.exit() or a cancelled task in it must not end the thread silently.
            logger.warning(
                "the callback failed on position %d of %s, attempt %d",
                delivery.position,
                delivery.stream,
                delivery.attempt,
                exc_info=True,
            )
            delay = backoff(BACKOFF, LONGEST_BACKOFF, delivery.attempt - 1)
            delivery.nak(delay, _reason(error))
        else:
            delivery.ack()


def _place_of(delivery: Delivery) -> str:
    recorded = delivery.recorded
    return f"at event {recorded.type} at position {recorded.position} of stream {recorded.stream!r}"


def _reason(error: BaseException) -> str:
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception:  # An error of the user's, whose text fails in turn.
        return f"{name}, which could not say more"
