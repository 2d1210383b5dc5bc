"""Stored values that can't be built any more, since their class is gone or has other fields.

A release may drop or change a timer, or a command that was refused. Its stored form is kept as it is, with
the class's name: only a handler that asks for it gets the error. Written again, it has the same bytes. Pure;
any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack

from storage import CodecError
from storage.codec.codec import Codec
from storage.codec.upcasting import version_of
from storage.codec.values import MESSAGE

__all__ = ["Unreadable", "class_of", "decode_readable", "name_of", "storable", "stored_class", "unpack_plain"]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A stored value of the class `name`; `cls` is the class of that name now, None for none.

    `stored` is for msgpack.
    """

    name: str
    cls: type | None
    error: CodecError
    stored: Any

    def __repr__(self) -> str:
        return f"{self.name} as it is stored"


def unpack_plain(value: bytes) -> Any:
    """The values in the bytes, with msgpack's extension types left packed.

    Raises what `Codec.decode` does for foreign bytes.
    """
    try:
        return msgpack.unpackb(value, strict_map_key=False)
    except Exception as error:
        raise CodecError(f"{len(value)} stored bytes are not what the codec writes: {error}") from error


def decode_readable(codec: Codec, value: Any) -> Any:
    """The value of something that `unpack_plain` gave, or an `Unreadable`."""
    packed = msgpack.packb(value)
    try:
        return codec.decode(packed)
    except CodecError as error:
        return Unreadable(*stored_class(codec, value), error, value)


def stored_class(codec: Codec, value: Any) -> tuple[str, type | None]:
    """The name of the class of something that `unpack_plain` gave, as it is now, and the class.

    None for a class that is gone, and for what is no value of a class.
    """
    if not isinstance(value, msgpack.ExtType) or value.code != MESSAGE:
        return type(value).__name__, None
    stored = str(msgpack.unpackb(value.data, strict_map_key=False)[0])
    name = version_of(codec.base_name(stored))[0]
    return name, codec.registered.get(name)


def storable(value: Any) -> Any:
    """What to encode for a value."""
    return value.stored if isinstance(value, Unreadable) else value


def class_of(message: Any) -> type | None:
    """The class of a message, None where it is gone."""
    return message.cls if isinstance(message, Unreadable) else type(message)


def name_of(message: Any) -> str:
    """The name of a message's class, for messages."""
    return message.name if isinstance(message, Unreadable) else type(message).__name__
