"""Which events of a batch may be shared, and which are copied for each holder. Pure; the deciding thread.

A state may keep parts of an event, a projection may sort a list in it, a caller may clear one in its receipt.
So an event that is not shareable, as `storage.codec.fidelity` defines it, is decoded once for the log and
once for the state. The first one is never handed out: each reader gets a copy. Other messages are shared as
they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from actors.receipt import LateReceipt
from storage import CommandRecord, RecordedEvent
from storage.codec.codec import Codec
from storage.log.stored_events import CommittedEvents

__all__ = ["EventSharing"]


class EventSharing:
    """`command`: events of the command that is being decided, or their metadata, are not to be shared.

    `batch` says it of those that the batch has accepted.
    """

    __slots__ = ("_codec", "batch", "command")

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.batch = self.command = False

    def decoded(self, event: Any, shareable: Callable[[Any], bool]) -> tuple[Any, Any]:
        """An event as its bytes give it: for the log, and for the state. Raises what encoding does."""
        own = self._codec.own
        kept = own(event)
        if shareable(kept):
            return kept, kept
        self.command = True
        return kept, own(kept)

    def of_command(self, events: Sequence[RecordedEvent]) -> Sequence[RecordedEvent]:
        """The command's events for a holder that may change what is in them."""
        return CommittedEvents(self._codec, events) if self.command else events

    def of_batch(self, events: Sequence[RecordedEvent]) -> Sequence[RecordedEvent]:
        """The same for events that the batch has taken."""
        return CommittedEvents(self._codec, events) if self.batch else events

    def receipt(self, record: CommandRecord, events: Sequence[RecordedEvent]) -> LateReceipt:
        """The receipt of a command that the batch takes and whose events are not to be shared."""
        self.batch = True
        return LateReceipt(record, CommittedEvents(self._codec, events))
