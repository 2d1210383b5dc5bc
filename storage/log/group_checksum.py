"""One CRC over many events that follow one another. Pure; any thread.

A call of `crc32` costs more than the bytes of a small event. The CRC of an event begins with its position and
ends, after a sound event, with one of two constants. Four bytes between two events lead from the constant to
the next position, so that one call goes over all of them. It finds what a CRC of each would find: a wrong
state is never led back to the right one by sound bytes, since each step of a CRC can be undone. Errors in two
events of a group may cancel each other, one pair in 2^32.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from struct import Struct
from zlib import crc32

__all__ = ["GROUP", "WORTH_JOINING", "Checks", "behind_words", "group_checks"]

GROUP = 128
"""Events of a group at most; a power of two. A group does not go over a multiple of it."""
WORTH_JOINING = 8
"""The CRC of more events together costs less than that of each."""

_ALL_BITS = 0xFFFFFFFF
_POLYNOMIAL = 0xEDB88320
_WORD_BYTES = 4
_split = Struct("4s" * GROUP).unpack


Checks = int | list[int]
"""The CRC with which each of some events ends; one number if it is the same for all."""


def group_checks(first: int, values: Sequence[bytes], likely: int | None) -> tuple[Checks, bytes]:
    """The CRCs of the stored events from position `first` on, and bytes that have all of them.

    It costs least if most end with the CRC `likely`; None stands for not known.
    """
    if likely is None or len(values) <= WORTH_JOINING:
        return _each(first, values), b"".join(values)
    joined = b"".join(behind_words(first, values, likely))
    if crc32(joined, likely) == likely:
        return likely, joined
    view = memoryview(joined)
    ends = list(accumulate([len(value) + _WORD_BYTES for value in values], initial=0))
    checks: list[int] = []
    left = [(0, len(values))]
    while left:
        begin, end = left.pop()
        if crc32(view[ends[begin] : ends[end]], likely) == likely:
            checks += [likely] * (end - begin)
        elif end - begin <= WORTH_JOINING:
            checks += _each(first + begin, values[begin:end])
        else:
            middle = (begin + end) // 2
            left += (middle, end), (begin, middle)
    return checks, joined


def _each(first: int, values: Sequence[bytes]) -> list[int]:
    return list(map(crc32, values, range(first, first + len(values))))


def behind_words(first: int, values: Sequence[bytes], kind: int) -> list[bytes]:
    """The events from position `first` on, each behind four bytes that lead from the CRC `kind` to it."""
    words: list[bytes] = []
    while len(words) < len(values):
        index = (first + len(words)) % GROUP
        same = _word(first + len(words) - index & _ALL_BITS) ^ _INVERTED ^ kind
        between = _split((_OF_INDEX ^ _IN_EACH * same).to_bytes(_WORD_BYTES * GROUP, "little"))
        words += between[index : index + len(values) - len(words)]
    parts: list[bytes] = [b""] * (2 * len(values))
    parts[::2] = words
    parts[1::2] = values
    return parts


# -- four bytes that lead from one CRC to another ------------------------------------------------------------
def _bit_word(state: int) -> int:
    for _ in range(32):  # the steps of a CRC's 32 bits, backwards
        state = (state ^ _POLYNOMIAL) << 1 | 1 if state >> 31 else state << 1
    return state


_OF_BIT = [_bit_word(1 << bit) for bit in range(32)]


def _word(state: int) -> int:
    """The four bytes, as a number, that lead the steps of a CRC from 0 to a state.

    It is linear: the word of a sum of bits is the sum of their words. From another state on, that is added.
    """
    word = 0
    while state:
        bit = state & -state
        word ^= _OF_BIT[bit.bit_length() - 1]
        state ^= bit
    return word


def _in_turn(words: Sequence[int]) -> int:
    return int.from_bytes(b"".join(word.to_bytes(_WORD_BYTES, "little") for word in words), "little")


# zlib inverts the bits of a state before and after the steps.
_INVERTED = _word(_ALL_BITS) ^ _ALL_BITS
_OF_INDEX = _in_turn([_word(index) for index in range(GROUP)])
_IN_EACH = _in_turn([1] * GROUP)
