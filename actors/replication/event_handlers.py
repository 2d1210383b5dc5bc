"""What a replica's models do with events of one class, isolated from each other. The replica's thread."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from actors.replication.build_progress import BuildProgress
from storage import RecordedEvent
from storage.codec.codec import Codec
from storage.log.stored_events import own_copy

__all__ = ["EventHandler", "on_own_copy"]


class EventHandler(NamedTuple):
    """What one model does with events of one class.

    `fn` is the handler, `wants_recorded` whether it takes the `RecordedEvent`, `target` what it writes to. It
    gets the events after position `after`, up to `until`, except those `skipped`. Without a handler the model
    stops at the event.
    """

    run: BuildProgress
    fn: Callable[..., None] | None
    wants_recorded: bool
    target: Any
    after: int
    until: int
    skipped: Collection[int]


def on_own_copy(
    codec: Codec, kind: type, fn: Callable[..., None] | None, wants_recorded: bool
) -> Callable[..., None] | None:
    """The handler `fn`; it gets its own copy of events of class `kind` if other models could see what it does
    to them."""
    if fn is None or not (wants_recorded or codec.shareable.check_of(kind)):
        return fn
    handler = fn

    def on_event(event: Any, target: Any) -> None:
        handler(codec.own(event), target)

    def on_recorded(_event: Any, target: Any, recorded: RecordedEvent) -> None:
        own = own_copy(codec, recorded)
        handler(own.event, target, own)

    return on_recorded if wants_recorded else on_event
