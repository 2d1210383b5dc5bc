"""Which stored events the models of a replica want, found before any is decoded. The replica's thread."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from actors.domain.read_model import ReadModel
from storage import RecordedEvent
from storage.codec.codec import Codec
from storage.log.record_filter import RecordFilter
from storage.log.stored_events import StoredEvents

__all__ = ["WantedEvents"]

WORTH_FILTERING = 0.85
"""If more than this share of a batch is wanted, looking at the types costs more than it saves."""
UNFILTERED_BATCHES = 30
"""After so many batches the types are looked at again."""


class WantedEvents:
    """Remembers what each model wants, and whether filtering is worthwhile."""

    def __init__(self, codec: Codec, types: Collection[str]) -> None:
        """`types` are the stored names of the domain's events."""
        self._codec = codec
        self._types = frozenset(types)
        self._sources: dict[ReadModel, frozenset[str]] = {}
        self._filters: dict[frozenset[str], RecordFilter] = {}
        self._unfiltered = 0
        """How many batches are decoded without looking at the types first."""

    def of(self, events: Sequence[RecordedEvent], models: Iterable[ReadModel]) -> Iterable[RecordedEvent]:
        """The events that one of the models wants; of stored ones, the others are not decoded."""
        if not isinstance(events, StoredEvents):
            return events
        if self._unfiltered > 0:
            self._unfiltered -= 1
            return events
        types = frozenset().union(*map(self.sources, models))
        if self._types <= types:
            return events
        wanted = self._filters.get(types)
        if wanted is None:
            wanted = self._filters[types] = RecordFilter(types)
        indexes = events.indexes(wanted) if types else ()
        if len(indexes) > len(events) * WORTH_FILTERING:
            self._unfiltered = UNFILTERED_BATCHES
        return events.at(indexes)

    def sources(self, model: ReadModel) -> frozenset[str]:
        """The stored types, without versions, that a model wants."""
        found = self._sources.get(model)
        if found is None:
            codec = self._codec
            found = self._sources[model] = codec.sources_of([codec.name_of(kind) for kind in model.handlers])
        return found
