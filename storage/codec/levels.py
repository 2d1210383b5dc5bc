"""Nested extension values: each level has its own packer and parser, and the levels are counted. Any thread.

msgpack calls a hook for a type that it does not know, and the hook packs or unpacks the contents by another
call. Such calls nest on the thread's C stack, and nothing else bounds them. So a value with more than
`MAX_LEVELS` levels is refused, when it is packed and when it is unpacked. The parsers of the outer levels are
on the stack, since these are faster; those of the inner levels are on the heap.

A message that is not inside another extension value is not counted. So its fields may be nested as deeply as
those of an event in the log, whose class is not stored as an extension value there. Everything here is pure.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NoReturn

from msgpack import ExtType, OutOfData, Packer, Unpacker, unpackb

from storage.codec.values import FROZENSET, MESSAGE, NO_ENCODING, TUPLE, Refusal
from storage.errors import CodecError

__all__ = ["MAX_LEVELS", "OUTERMOST", "PackLevel", "UnpackLevel"]

MAX_LEVELS = 32
"""Extension values (tuples, frozensets, messages) that may be nested in one another."""
OUTERMOST = -1
"""The level outside of all messages: a message there is not counted."""
ON_HEAP = 4
"""From this level on, parsers are on the heap: one takes 40 KiB."""

NESTED = (
    f"it is nested too deeply: more than {MAX_LEVELS} tuples, frozensets and value classes inside one another"
)

Getters = dict[type, tuple[str, Callable[[Any], dict[str, Any]], bool]]


class PackLevel:
    """Makes packers for values inside `level` extension values.

    `encoders` are for types without other values in them.
    """

    __slots__ = ("_encoders", "_getters", "_inside", "_level", "new_packer")

    def __init__(
        self, encoders: dict[type, Callable[[Any], ExtType]], getters: Getters, level: int = OUTERMOST
    ) -> None:
        """`getters` give a message class's stored name and its fields; both maps may grow later."""
        self._encoders = encoders
        self._getters = getters
        self._level = level
        self._inside: PackLevel | None = None
        # A packer with its usual first buffer of 256 KiB is mapped and unmapped each time, which costs 7
        # microseconds.
        self.new_packer: Callable[[], Packer] = functools.partial(
            Packer, default=self._hook(), buf_size=1024, strict_types=True
        )

    def inside(self, levels: int = 1) -> PackLevel:
        """The level that is `levels` further in. Each is created when first needed, and few ever are."""
        if self._inside is None:
            self._inside = PackLevel(self._encoders, self._getters, self._level + 1)
        return self._inside if levels == 1 else self._inside.inside(levels - 1)

    def _hook(self) -> Callable[[Any], ExtType]:
        encoders, getters = self._encoders, self._getters
        outermost, last = self._level == OUTERMOST, self._level >= MAX_LEVELS
        in_message: Callable[[], Packer] | None = None
        in_container: Callable[[], Packer] | None = None

        def default(value: Any) -> ExtType:
            nonlocal in_message, in_container
            kind = type(value)
            encoder = encoders.get(kind)
            if encoder is not None:
                return encoder(value)
            message = getters.get(kind)
            if message is None and kind is not tuple and kind is not frozenset:
                raise Refusal(value, NO_ENCODING)
            if last:
                raise Refusal(value, NESTED)
            if message is not None:
                name, getter, _ = message
                if in_message is None:
                    in_message = self.inside().new_packer
                return ExtType(MESSAGE, in_message().pack([name, getter(value)]))
            if in_container is None:
                in_container = self.inside(2 if outermost else 1).new_packer
            if kind is tuple:
                return ExtType(TUPLE, in_container().pack(list(value)))
            # Iteration order differs between processes; equal sets must give equal bytes for digests to
            # agree.
            return ExtType(
                FROZENSET, in_container().pack(sorted([in_container().pack(item) for item in value]))
            )

        return default


class UnpackLevel:
    """Unpacks what `PackLevel` of the same level packed; `hook` is for parsers that are made elsewhere."""

    __slots__ = ("_build", "_decoders", "_inside", "_level", "hook", "unpack")

    def __init__(
        self,
        decoders: dict[int, Callable[[bytes], Any]],
        build: Callable[[str, dict[str, Any]], object],
        level: int = OUTERMOST,
    ) -> None:
        """`decoders` are for types without other values in them; `build` makes a message from its fields."""
        self._decoders = decoders
        self._build = build
        self._level = level
        self._inside: UnpackLevel | None = None
        self.hook = self._hook()
        self.unpack: Callable[[bytes], Any] = _unpacking(self.hook, level)
        """Raises whatever msgpack raises for damaged bytes."""

    def inside(self, levels: int = 1) -> UnpackLevel:
        """The level that is `levels` further in."""
        if self._inside is None:
            self._inside = UnpackLevel(self._decoders, self._build, self._level + 1)
        return self._inside if levels == 1 else self._inside.inside(levels - 1)

    def _hook(self) -> Callable[[int, bytes], Any]:
        decoders = {**self._decoders, **(_REFUSING if self._level >= MAX_LEVELS else self._containers())}

        def decode(code: int, data: bytes) -> Any:
            try:
                decoder = decoders[code]
            except KeyError:
                raise CodecError(
                    f"unknown extension code {code}: written by a newer version, or damaged"
                ) from None
            return decoder(data)

        return decode

    def _containers(self) -> dict[int, Callable[[bytes], Any]]:
        build, outermost = self._build, self._level == OUTERMOST
        in_message: Callable[[bytes], Any] | None = None
        in_container: Callable[[bytes], Any] | None = None

        def decode_message(data: bytes) -> object:
            nonlocal in_message
            if in_message is None:
                in_message = self.inside().unpack
            name, fields = in_message(data)
            return build(name, fields)

        def decode_items(data: bytes) -> Any:
            nonlocal in_container
            if in_container is None:
                in_container = self.inside(2 if outermost else 1).unpack
            return in_container(data)

        return {
            MESSAGE: decode_message,
            TUPLE: lambda data: tuple(decode_items(data)),
            FROZENSET: lambda data: frozenset([decode_items(item) for item in decode_items(data)]),
        }


def _refuse(_data: bytes) -> NoReturn:
    raise CodecError(
        f"stored bytes are nested too deeply: more than {MAX_LEVELS} tuples, frozensets and value classes "
        "inside one another, which could overflow a thread's stack"
    )


_REFUSING: dict[int, Callable[[bytes], Any]] = {MESSAGE: _refuse, TUPLE: _refuse, FROZENSET: _refuse}


def _unpacking(hook: Callable[[int, bytes], Any], level: int) -> Callable[[bytes], Any]:
    # These are closures: functools.partial with keywords costs 170 ns more, a third of the decoding of a row.
    def unpack(data: bytes) -> Any:
        return unpackb(data, ext_hook=hook, strict_map_key=False)

    def unpack_on_heap(data: bytes) -> Any:
        size = len(data)
        unpacker = Unpacker(ext_hook=hook, strict_map_key=False, read_size=1, max_buffer_size=max(size, 1))
        unpacker.feed(data)
        try:
            value = unpacker.unpack()
        except OutOfData:
            raise ValueError("an extension value ends early") from None
        if unpacker.tell() != size:
            raise ValueError("an extension value has bytes after its end")
        return value

    return unpack if level < ON_HEAP else unpack_on_heap
