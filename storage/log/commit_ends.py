"""Where commits end among stored events that follow one another, each of which is checked. Pure; any thread.

The CRC of an event says whether it is the last one of its commit, so each has to be known. Most commits of a
log have about as many events as the one before. So the events before the one that is likely the last are
checked by one CRC. Where it is another one it is searched for: sixteen events at a time, then one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zlib import crc32

from storage.log.checksums import EVENT, LAST_EVENT
from storage.log.group_checksum import WORTH_JOINING, behind_words

__all__ = ["commit_ends"]

SEARCHED = 16
"""Events of which one CRC says whether the last one of a commit is among them."""

Damaged = Callable[[int], Exception]


def commit_ends(first: int, values: Sequence[bytes], usual: int, damaged: Damaged) -> Sequence[int]:
    """The indexes of the events from position `first` on that are the last ones of their commits.

    It costs least if most commits have `usual` events. Raises `damaged(position)` for the first event that is
    not what was stored at its position.
    """
    if usual == 1 and crc32(b"".join(behind_words(first, values, LAST_EVENT)), LAST_EVENT) == LAST_EVENT:
        return range(len(values))
    if usual < WORTH_JOINING or len(values) <= WORTH_JOINING:
        return _each(first, values, damaged)
    return _searched(first, values, usual, damaged)


def _each(first: int, values: Sequence[bytes], damaged: Damaged) -> list[int]:
    checks = list(map(crc32, values, range(first, first + len(values))))
    count = checks.count(LAST_EVENT)
    if checks.count(EVENT) + count != len(checks):
        raise damaged(
            first + next(index for index, check in enumerate(checks) if check not in (EVENT, LAST_EVENT))
        )
    ends: list[int] = []
    end = -1
    for _ in range(count):
        end = checks.index(LAST_EVENT, end + 1)
        ends.append(end)
    return ends


def _searched(first: int, values: Sequence[bytes], usual: int, damaged: Damaged) -> list[int]:
    parts = behind_words(first, values, EVENT)
    many, join = len(values), b"".join
    ends: list[int] = []
    begin = 0
    while begin < many:
        end = begin + usual - 1
        if (
            end >= many
            or crc32(values[end], first + end) != LAST_EVENT
            or crc32(join(parts[2 * begin : 2 * end]), EVENT) != EVENT
        ):
            found = _next_end(first, values, parts, begin, damaged)
            if found is None:
                break
            end = found
            usual = end + 1 - begin
        ends.append(end)
        begin = end + 1
    return ends


def _next_end(
    first: int, values: Sequence[bytes], parts: Sequence[bytes], begin: int, damaged: Damaged
) -> int | None:
    """The first index from `begin` on of the last event of a commit, None if there is none."""
    many = len(values)
    while begin < many:
        following = min(begin + SEARCHED, many)
        if crc32(b"".join(parts[2 * begin : 2 * following]), EVENT) != EVENT:
            for index in range(begin, following):
                check = crc32(values[index], first + index)
                if check == LAST_EVENT:
                    return index
                if check != EVENT:
                    raise damaged(first + index)
        begin = following
    return None
