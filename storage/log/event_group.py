"""Stored events that were read one after another, with their checksums checked. Pure; any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice, takewhile
from typing import NamedTuple

from storage.log.checksums import CRC_BYTES, DIGEST_BYTES, EVENT, LAST_EVENT, LAST_STUB, STUB
from storage.log.group_checksum import GROUP, Checks, group_checks

__all__ = ["GROUP_BYTES", "EventGroup", "checked_groups", "unchecked_groups"]

GROUP_BYTES = 1 << 20
"""A group ends after the event with which it exceeds this."""
RARE = 16
"""One kind of events is expected where the other is one in so many."""

_UNCHECKED = 0
_SOUND = (EVENT, LAST_EVENT, STUB, LAST_STUB)
_OWN = {
    EVENT: slice(-CRC_BYTES),
    LAST_EVENT: slice(-DIGEST_BYTES - CRC_BYTES),
    STUB: slice(-CRC_BYTES),
    LAST_STUB: slice(-DIGEST_BYTES - CRC_BYTES),
    _UNCHECKED: slice(None),
}
"""Which part of a stored event is its own bytes, by its CRC."""


class EventGroup(NamedTuple):
    """Consecutive events, all sound. Some may be stubs of archived ones.

    `values` are their stored bytes, and `joined` has all of them somewhere, for searching. `checks` are their
    CRCs, 0 if they have none.
    """

    first: int
    values: list[bytes]
    joined: bytes
    checks: Checks

    @property
    def last(self) -> int:
        """The position of the last one."""
        return self.first + len(self.values) - 1

    @property
    def has_stubs(self) -> bool:
        """Whether any of them is the stub of an archived event."""
        checks = self.checks
        if isinstance(checks, int):
            return checks in (STUB, LAST_STUB)
        return checks.count(EVENT) + checks.count(LAST_EVENT) < len(checks)

    def is_stub(self, index: int) -> bool:
        """Whether one of them is a stub."""
        check = self.checks if isinstance(self.checks, int) else self.checks[index]
        return check in (STUB, LAST_STUB)

    @classmethod
    def opened(cls, first: int, values: list[bytes]) -> EventGroup:
        """A group of events that are given in their own bytes, and were checked."""
        return cls(first, values, b"".join(values), _UNCHECKED)

    def own(self) -> list[bytes]:
        """The events' own bytes."""
        if isinstance(self.checks, int):
            part = _OWN[self.checks]
            return [value[part] for value in self.values]
        return [value[_OWN[check]] for value, check in zip(self.values, self.checks, strict=True)]

    def own_at(self, index: int) -> bytes:
        """The own bytes of one of them."""
        check = self.checks if isinstance(self.checks, int) else self.checks[index]
        return self.values[index][_OWN[check]]


def checked_groups(
    first: int, stored: Iterable[bytes], most: int, damaged: Callable[[int], Exception]
) -> Iterator[EventGroup]:
    """Groups of events from position `first` on; raises `damaged(position)` before a damaged event.

    It stops after the event with which they exceed `most` bytes.
    """
    likely: int | None = EVENT
    for position, values in _groups(first, stored, most):
        checks, joined = group_checks(position, values, likely)
        if isinstance(checks, int):
            yield EventGroup(position, values, joined, checks)
            continue
        sound = list(takewhile(_SOUND.__contains__, checks))
        if sound:
            yield EventGroup(position, values[: len(sound)], joined, sound)
        if len(sound) < len(values):
            raise damaged(position + len(sound))
        likely = _likely(checks)


def _likely(checks: list[int]) -> int | None:
    """The CRC with which most events of the next group end, if those of this one say so."""
    most = len(checks) - len(checks) // RARE
    return next((kind for kind in _SOUND if checks.count(kind) >= most), None)


def unchecked_groups(first: int, stored: Iterable[bytes], most: int) -> Iterator[EventGroup]:
    """As `checked_groups`, for events without checksums."""
    for position, values in _groups(first, stored, most):
        yield EventGroup.opened(position, values)


def _groups(first: int, stored: Iterable[bytes], most: int) -> Iterator[tuple[int, list[bytes]]]:
    """Events and the position of the first of them, as `checked_groups` says."""
    following = iter(stored)
    left = most
    while left >= 0:
        values: list[bytes] = []
        size = 0
        bound = min(left, GROUP_BYTES)
        for value in islice(following, GROUP - first % GROUP):
            values.append(value)
            size += len(value)
            if size > bound:
                break
        if not values:
            return
        yield first, values
        first += len(values)
        left -= size
