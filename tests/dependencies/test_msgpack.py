"""What the codec relies on in msgpack, tested with msgpack alone."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Any

import msgpack
import pytest

BIG = 1 << 70


def test_what_the_default_hook_returns_is_not_given_to_it_again_but_what_is_inside_is() -> None:
    def default(value: Any) -> Any:
        if isinstance(value, Decimal):
            return int(value)
        return msgpack.ExtType(1, b"big") if isinstance(value, int) else [BIG]

    assert msgpack.packb(Decimal(7), default=default) == b"\x07"
    assert msgpack.packb(set(), default=default) == msgpack.packb([BIG], default=default)
    with pytest.raises(OverflowError):
        msgpack.packb(Decimal(BIG), default=default)


def test_an_int_of_over_64_bits_comes_to_the_default_hook() -> None:
    seen: list[Any] = []

    def default(value: Any) -> Any:
        seen.append(value)
        return None

    for value in (-(1 << 63), (1 << 64) - 1, -(1 << 63) - 1, 1 << 64):
        msgpack.packb(value, default=default)
    assert seen == [-(1 << 63) - 1, 1 << 64]


def test_strict_types_leaves_subclasses_and_tuples_to_the_default_hook_and_buffers_not() -> None:
    class Size(enum.IntEnum):
        SMALL = 1

    class Text(str):
        __slots__ = ()

    seen: list[Any] = []

    def default(value: Any) -> Any:
        seen.append(value)
        return None

    given = [Size.SMALL, Text("a"), (1,), True, bytearray(b"a"), memoryview(b"a")]
    packed = msgpack.packb(given, default=default, strict_types=True)
    assert [type(one) for one in seen] == [Size, Text, tuple]
    assert msgpack.unpackb(packed) == [None, None, None, True, b"a", b"a"]


def test_an_extension_that_is_packed_by_itself_has_the_bytes_of_an_ext_type() -> None:
    for size in (0, 1, 2, 3, 16, 300, 70_000):
        data = b"x" * size
        assert msgpack.Packer().pack_ext_type(5, data) == msgpack.packb(msgpack.ExtType(5, data))


def test_arrays_begin_with_their_length_and_the_shortest_head_is_taken() -> None:
    assert msgpack.packb([None] * 11)[:1] == b"\x9b"
    assert msgpack.packb([None] * 12)[:1] == b"\x9c"
    assert msgpack.packb([None] * 16)[:3] == b"\xdc\x00\x10"
    assert msgpack.unpackb(b"\xdd\x00\x00\x00\x02\x01\x02") == [
        1,
        2,
    ]  # longer than necessary, and accepted all the same
    assert (msgpack.packb([]), msgpack.packb({})) == (b"\x90", b"\x80")


def test_keys_that_are_no_text_are_read_only_where_that_is_asked_for() -> None:
    packed = msgpack.packb({1: "a"})
    with pytest.raises(ValueError, match="int is not allowed for map key"):
        msgpack.unpackb(packed)
    assert msgpack.unpackb(packed, strict_map_key=False) == {1: "a"}


def test_dicts_keep_their_order() -> None:
    given = {"b": 1, "a": 2}
    assert list(msgpack.unpackb(msgpack.packb(given))) == ["b", "a"]
