"""Personal fields: stored encrypted with the key of their subject, and read as the redacted value without it.

A message's class says which of its fields are personal, and which other field names the subject. Each such
value is the extension value 12: two bytes for the length of the packed redacted value, that value, and what a
`Sealer` made of the packed value. The place of the field, `stored name.field`, is authenticated with it, so
that a value can't be moved to another field. Pure; any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from msgpack import ExtType

from storage.codec.generated import define
from storage.errors import CodecError

__all__ = [
    "SEALED",
    "PersonalField",
    "Sealed",
    "Sealer",
    "compile_sealing_getter",
    "place_of",
    "seal_value",
    "sealed_of",
    "unseal_fields",
]

SEALED = 12
_LENGTH = 2


class PersonalField(NamedTuple):
    """A field whose value is encrypted.

    `subject` is the field of the same class that names its subject, and `redacted` the packed value that is
    read once the key is destroyed.
    """

    subject: str
    redacted: bytes


class Sealed(NamedTuple):
    """A value as it is stored: what the sealer made of it, and the packed value to read without the key."""

    body: bytes
    redacted: bytes


class Sealer(Protocol):
    """Has the keys of subjects. Any thread."""

    def seal(self, subject: str, place: bytes, plain: bytes) -> bytes:
        """Encrypt with the subject's key, which is made if there is none. Raises StorageError."""

    def unseal(self, place: bytes, body: bytes) -> bytes | None:
        """Decrypt; None if the key was destroyed. Raises CodecError."""

    def digest(self, subject: str, data: bytes) -> bytes:
        """A digest that nobody can compute without the subject's key."""

    def destroy(self, subjects: Collection[str]) -> list[bytes]:
        """Destroy the keys of subjects: what was sealed with them can't be read any more. Returns the ids of
        the keys. Raises StorageError.
        """

    def destroying(self) -> list[str]:
        """The subjects whose destruction has begun, and is not recorded yet."""

    def recorded(self, subjects: Collection[str]) -> None:
        """Note that the log says that these subjects were forgotten. Raises StorageError."""

    def flush(self) -> None:
        """Have every key on disk that was used to seal. Raises StorageError, CommitFailed."""


@lru_cache(4096)
def place_of(stored: str, field: str) -> bytes:
    """The bytes that bind a sealed value to the field of a class, by its stored name."""
    return f"{stored}.{field}".encode()


def seal_value(sealer: Sealer, subject: Any, place: bytes, field: PersonalField, packed: bytes) -> ExtType:
    """What is stored for a packed value."""
    redacted = field.redacted
    body = sealer.seal(str(subject), place, packed)
    return ExtType(SEALED, len(redacted).to_bytes(_LENGTH, "big") + redacted + body)


def sealed_of(data: bytes) -> Sealed:
    """The value in a stored extension value."""
    end = _LENGTH + int.from_bytes(data[:_LENGTH], "big")
    return Sealed(data[end:], data[_LENGTH:end])


def unseal_fields(
    sealer: Sealer | None, unpack: Callable[[bytes], Any], stored: str, fields: dict[str, Any]
) -> None:
    """Replace the sealed values among the fields of a message by what they were, or by redacted ones.

    Without a sealer all of them are redacted. Raises CodecError.
    """
    for name, value in fields.items():
        if value.__class__ is Sealed:
            try:
                plain = None if sealer is None else sealer.unseal(place_of(stored, name), value.body)
            except CodecError as error:
                error.add_note(f"in the personal field {name} of {stored}")
                raise
            fields[name] = unpack(value.redacted if plain is None else plain)


def compile_sealing_getter(
    stored: str,
    fields: list[str],
    personal: Mapping[str, PersonalField],
    sealer: Sealer,
    pack: Callable[[Any], bytes],
) -> Callable[[Any], dict[str, Any]]:
    """A function from a message to its fields, the personal ones sealed; `pack` packs their values."""
    names: dict[str, Any] = {}
    parts = []
    for number, name in enumerate(fields):
        field = personal.get(name)
        if field is None:
            parts.append(f"{name!r}: message.{name}")
            continue
        names[f"seal{number}"] = _sealing(sealer, place_of(stored, name), field, name, pack)
        parts.append(f"{name!r}: seal{number}(message, message.{field.subject}, message.{name})")
    text = f"def fields_of(message):\n    return {{{', '.join(parts)}}}"
    return define("fields_of", text, names)


def _sealing(
    sealer: Sealer, place: bytes, field: PersonalField, name: str, pack: Callable[[Any], bytes]
) -> Callable[[Any, Any, Any], ExtType]:
    seal = sealer.seal
    head = len(field.redacted).to_bytes(_LENGTH, "big") + field.redacted

    def seal_field(message: Any, subject: Any, value: Any) -> ExtType:
        try:
            packed = pack(value)
        except CodecError:
            pack(message)  # This error has the path in the message.
            raise
        return ExtType(SEALED, head + seal(str(subject), place, packed))

    seal_field.__name__ = f"seal_{name}"
    return seal_field
