"""What a replica's models do with events of one class, each without the others' notice. The replica's thread."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from actors.replication.build_progress import BuildProgress
from storage import RecordedEvent
from storage.codec.codec import Codec
from storage.log.stored_events import own_copy

__all__ = ["EventHandler", "on_own_copy"]


class EventHandler(NamedTuple):
    """A model with what it does with an event of some class.

    That is the handler, whether it takes the `RecordedEvent`, what it writes to, after which position and up to which one, but
    for those skipped. None stops at the event.
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
    """The handler `fn`, given a copy of its own of events of class `kind`, where others could see what it does to them."""
    if fn is None or not (wants_recorded or codec.shareable.check_of(kind)):
        return fn
    handler = fn

    def on_event(event: Any, target: Any) -> None:
        handler(codec.own(event), target)

    def on_recorded(_event: Any, target: Any, recorded: RecordedEvent) -> None:
        own = own_copy(codec, recorded)
        handler(own.event, target, own)

    return on_recorded if wants_recorded else on_event
