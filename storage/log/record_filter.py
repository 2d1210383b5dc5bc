"""Which stored events are wanted, decided on their bytes before any is decoded. Pure; any thread.

An event begins with its stream, its version and its type, so these are read without the rest. Decoding all of
an event costs ten times as much, and fails if the class of the event is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from msgpack import packb

from storage.codec.upcasting import VERSION_MARK, version_of
from storage.log.records import envelope_of

__all__ = ["RecordFilter", "type_of"]

MAX_SEARCHED = 4
"""Up to so many names are searched for in the bytes of many events, before each event is looked at."""
SEARCHED_EVENTS = 100
"""Events that are searched together: to search for a name takes a fifth of the time of finding each type."""

_HYPHEN = ord("-")
_TEXT_16 = 0xDA
_TEXT_8 = 0xD9
_SHORT_TEXT = 0xA0
_NUMBER_BYTES = {**dict.fromkeys(range(0x80), 1), 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9}
"""How many bytes a whole number takes in msgpack, with its first byte, by that."""


def type_of(data: bytes) -> str:
    """The type of an event in stored bytes, with its schema version if it has one.

    Raises whatever msgpack raises if the bytes are not an event.
    """
    try:
        start, end = _type_bounds(data)
        return data[start:end].decode()
    except (LookupError, UnicodeDecodeError):
        return str(envelope_of(data)[2])


def _text_at(data: bytes, at: int) -> tuple[int, int]:
    """Where the text begins and ends whose first byte is at `at`. Raises LookupError if it is not a text."""
    head = data[at]
    if head == _TEXT_8:
        return at + 2, at + 2 + data[at + 1]
    if _SHORT_TEXT <= head < _SHORT_TEXT + 32:
        return at + 1, at + 1 + head - _SHORT_TEXT
    if head == _TEXT_16:
        return at + 3, at + 3 + int.from_bytes(data[at + 1 : at + 3])
    raise LookupError("not a text")


def _type_bounds(data: bytes) -> tuple[int, int]:
    at = _text_at(data, 1)[1]
    return _text_at(data, at + _NUMBER_BYTES[data[at]])


class RecordFilter:
    """The events of some types, of one stream, or of streams of one category; each that is given has to hold.

    One whose type and stream cannot be read is wanted, so that decoding it says what is wrong.
    """

    __slots__ = ("_in_category", "_known", "_searched", "_stream", "_types")

    def __init__(self, types: Collection[str] = (), stream: str = "", category: str = "") -> None:
        """`types` are stored names without versions; nothing given stands for anything."""
        self._types = frozenset(types)
        self._stream = stream
        self._in_category = _in_category(category.encode()) if category else None
        self._known: dict[bytes, bool] = {}
        self._searched: list[_Searched] = []
        if category:
            self._searched = [_Searched(category.encode(), b"-")]
        elif 0 < len(self._types) <= MAX_SEARCHED:
            self._searched = [_Searched(name.encode(), VERSION_MARK.encode()) for name in self._types]

    def indexes(self, values: Sequence[bytes]) -> Sequence[int]:
        """Which of these events in stored bytes are wanted, by their indexes."""
        if not self._searched:
            return self._looked_at(values, range(len(values)))
        found: list[int] = []
        for start in range(0, len(values), SEARCHED_EVENTS):
            some = values[start : start + SEARCHED_EVENTS]
            found += [start + index for index in self.in_group(some, b"".join(some))]
        return found

    def in_group(self, values: Sequence[bytes], joined: bytes) -> Sequence[int]:
        """As `indexes`, for events that were joined already: `joined` has the bytes of all of them."""
        if self._searched and not any(one.is_in(joined) for one in self._searched):
            return ()
        return self._looked_at(values, range(len(values)))

    def _looked_at(self, values: Sequence[bytes], found: Sequence[int]) -> Sequence[int]:
        """Which of the events with these indexes are wanted."""
        if self._in_category is not None:
            found = [index for index in found if self._in_category(values[index])]
        if self._stream:
            found = [index for index in found if self._is_of_stream(values[index])]
        return self._of_types(values, found) if self._types else found

    def wants(self, data: bytes) -> bool:
        """Whether this event in stored bytes is wanted."""
        return bool(self.indexes([data]))

    def _of_types(self, values: Sequence[bytes], indexes: Sequence[int]) -> list[int]:
        known = self._known
        found = []
        for index in indexes:
            data = values[index]
            try:
                # `_type_bounds` with its calls written out, since every event comes here.
                head = data[1]
                if head == _TEXT_8:
                    at = data[2] + 3
                elif _SHORT_TEXT <= head < _SHORT_TEXT + 32:
                    at = head - (_SHORT_TEXT - 2)
                else:
                    at = _text_at(data, 1)[1]
                at += _NUMBER_BYTES[data[at]]
                head = data[at]
                if _SHORT_TEXT <= head < _SHORT_TEXT + 32:
                    name = data[at + 1 : at + head - (_SHORT_TEXT - 1)]
                else:
                    start, end = _text_at(data, at)
                    name = data[start:end]
                if known[name]:
                    found.append(index)
            except LookupError:
                if self._is_of_type(data):
                    found.append(index)
        return found

    def _is_of_type(self, data: bytes) -> bool:
        """Whether an event is of a wanted type, and remember it of the type."""
        try:
            start, end = _type_bounds(data)
            name = data[start:end]
            wanted = version_of(name.decode())[0] in self._types
        except (LookupError, UnicodeDecodeError):
            return True
        self._known[name] = wanted
        return wanted

    def _is_of_stream(self, data: bytes) -> bool:
        try:
            start, end = _text_at(data, 1)
            return data[start:end].decode() == self._stream
        except (LookupError, UnicodeDecodeError):
            return True


class _Searched(NamedTuple):
    """A name as it is in stored events: as a whole text, or with `mark` after it."""

    name: bytes
    mark: bytes

    def is_in(self, data: bytes) -> bool:
        name, mark = self
        return name in data and (_packed_text(name) in data or name + mark in data)


def _packed_text(text: bytes) -> bytes:
    packed: bytes = packb(text.decode())
    return packed


def _in_category(category: bytes) -> Callable[[bytes], bool]:
    """Whether the stream of an event in stored bytes is of the category, or cannot be read."""
    size = len(category)

    def check(data: bytes) -> bool:
        try:
            start, end = _text_at(data, 1)
        except LookupError:
            return True
        # What follows the category is a hyphen, or the type of the next item.
        return data.startswith(category, start) and (end - start == size or data[start + size] == _HYPHEN)

    return check
