"""The result cache: results of queries, kept as long as the tables from which they were read do not change.

Shared by all replicas of a process. Looked up in callers' threads, filled in query actors'.

Why an entry of one replica may answer for another, however far each is: projections are deterministic, so
what a table of one build holds is a function of the position that its model has applied. A snapshot with the
checkpoint `c` that says a table was last changed at `u` or earlier shows a table that is the same at every
position from `u` to `c`. An entry keeps that span for each table that its query touched, and every state of a
replica has such a span of its own. If the two overlap (`u <= c'` and `u' <= c`), there is a position at which
both hold the table, so both hold the same rows. If they overlap for every touched table, the query run on
that state would see what it saw then, and give the same. So neither has to be the newer one, and `u` may be
any upper bound of the true change that is not above `c`: one that is too high makes the span shorter and
costs hits, never truth. Two builds of a model share nothing, so the build is compared first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.domain.specs import CompiledDomain
from actors.queries.answer import Answer
from actors.queries.recording_view import Span, States
from storage import CodecError
from storage.codec.codec import Codec

if TYPE_CHECKING:
    from actors.health import CacheHealth

__all__ = ["ResultCache", "result_cache", "total_health"]

OVERHEAD = 600
"""Bytes that an entry takes beside its key and result, roughly: its objects and its slot in the dict."""


_CHANGING = bytes([*range(0xC4, 0xCA), *range(0xD4, 0xD9)])
"""The first bytes of binary data and extensions in msgpack. Without these bytes nothing in a result is
decoded as something else; with them something may be, since texts and numbers have them too."""


class _Entry(NamedTuple):
    result: bytes
    spans: tuple[Span, ...]
    size: int

    def holds(self, state: States) -> bool:
        return all(span.holds(state) for span in self.spans)

    def newest(self) -> int:
        return max((span.checkpoint for span in self.spans), default=0)


def result_cache(domain: CompiledDomain, max_bytes: int) -> ResultCache | None:
    """A cache for the queries of a domain; None if none of them is cached, or the cache may have no bytes."""
    cached = max_bytes and any(spec.cache for spec in domain.queries.values())
    return ResultCache(domain.codec, max_bytes) if cached else None


def total_health(caches: Sequence[CacheHealth]) -> CacheHealth | None:
    """The figures of several caches together; None if there are none."""
    if not caches:
        return None
    from actors.health import CacheHealth

    hits, misses = sum(one.hits for one in caches), sum(one.misses for one in caches)
    return CacheHealth(
        hits,
        misses,
        round(hits / (hits + misses), 4) if hits + misses else 0.0,
        sum(one.entries for one in caches),
        sum(one.bytes for one in caches),
        sum(one.max_bytes for one in caches),
        sum(one.uncacheable for one in caches),
    )


class ResultCache:
    """Encoded results by encoded query, the least recently used dropped beyond `max_bytes`. Any thread."""

    def __init__(self, codec: Codec, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._codec = codec
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._bytes = 0
        self._hits = 0
        self._misses = 0
        self._uncacheable = 0
        self._lock = threading.Lock()

    def key(self, query: Any) -> bytes | None:
        """The key of a query: its class and fields, encoded. None, and counted, if they can't be encoded."""
        try:
            return self._codec.pack(query)
        except CodecError:
            self._refuse()
            return None

    def answer(
        self, keys: Sequence[bytes], models: Collection[str], target: int, states: Iterable[States]
    ) -> Answer | None:
        """The results of some queries at one of the states in which all `models` have applied `target`."""
        with self._lock:
            entries = [self._entries.get(key) for key in keys]
        if None not in entries:
            for state in states:
                # Several models have to be at one position, as they are in a snapshot.
                lowest, *others = {state.checkpoint(model) for model in models}
                if (
                    not others
                    and lowest >= target
                    and all(entry.holds(state) for entry in entries if entry is not None)
                ):
                    self._hit(keys)
                    results = [self._codec.unpack(entry.result) for entry in entries if entry is not None]
                    return Answer(results, lowest, lowest)
        return None

    def find(self, key: bytes, snapshot: States) -> tuple[Any] | None:
        """The result of one query on a snapshot, alone in a tuple; None, counted as a miss, if it has to run.

        A caller that had to wait for a replica has not looked, and others may have asked the same meanwhile.
        """
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or not entry.holds(snapshot):
                self._misses += 1
                return None
        self._hit([key])
        return (self._codec.unpack(entry.result),)

    def _hit(self, keys: Sequence[bytes]) -> None:
        with self._lock:
            self._hits += len(keys)
            for key in keys:
                # Another thread may have dropped it meanwhile.
                if key in self._entries:
                    self._entries.move_to_end(key)

    def put(self, key: bytes, result: Any, spans: tuple[Span, ...] | None) -> Any:
        """Keep a result with the spans of its tables, and return it as every hit will.

        With None it is not kept, nor is a result that is too large. One that can't be encoded is returned as
        it is.
        """
        encoded, result = self._encoded(result, kept=spans is not None)
        if encoded is None or spans is None:
            self._refuse()
        else:
            self._keep(key, encoded, spans)
        return result

    def _encoded(self, result: Any, *, kept: bool) -> tuple[bytes | None, Any]:
        """A result's bytes, None if they are not needed or can't be made, and the result as decoded."""
        if not kept and self._codec.faithful(result):
            return None, result
        try:
            encoded = self._codec.pack(result)
            if len(encoded.translate(None, _CHANGING)) == len(encoded):
                return encoded, result
            return encoded, self._codec.decode(encoded)
        except CodecError:
            return None, result

    def _keep(self, key: bytes, encoded: bytes, spans: tuple[Span, ...]) -> None:
        size = len(key) + len(encoded) + OVERHEAD
        if size > self.max_bytes:
            self._refuse()
            return
        entry = _Entry(encoded, spans, size)
        with self._lock:
            before = self._entries.get(key)
            # A replica that is behind does not replace an entry that the others can use.
            if before is not None and before.newest() > entry.newest():
                return
            self._bytes += size - (0 if before is None else before.size)
            self._entries[key] = entry
            self._entries.move_to_end(key)
            while self._bytes > self.max_bytes:
                _, dropped = self._entries.popitem(last=False)
                self._bytes -= dropped.size

    def clear(self) -> None:
        """Drop all results."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def _refuse(self) -> None:
        with self._lock:
            self._uncacheable += 1

    def health(self) -> CacheHealth:
        """What it holds, and how often it helped."""
        from actors.health import CacheHealth

        with self._lock:
            asked = self._hits + self._misses
            return CacheHealth(
                self._hits,
                self._misses,
                round(self._hits / asked, 4) if asked else 0.0,
                len(self._entries),
                self._bytes,
                self.max_bytes,
                self._uncacheable,
            )
