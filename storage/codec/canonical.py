"""Canonical bytes: equal messages have equal bytes, so a digest shows whether a command is a repeated one.

Values that `==` calls equal have the same bytes: dicts in any order; 1, 1.0 and Decimal("1.00") where a field
admits several of them; -0.0 and 0.0; one instant with two offsets. NaN has the same bytes as NaN. Beyond
`==`, every field counts, and an enum's member has the same bytes as no other value. A class may gain fields
that have a default, lose fields that had one, and change the order of its fields: fields are sorted by name,
and a field that has its default value is left out, in nested values too. These bytes are never decoded. Any
thread.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Collection
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from msgpack import ExtType

from storage.codec.codec import Codec
from storage.codec.generated import define
from storage.codec.message_classes import stored_fields
from storage.codec.personal_fields import Sealer
from storage.codec.values import DATETIME, DECIMAL, FROZENSET, MESSAGE, TIME
from storage.errors import CodecError

__all__ = ["DIGEST_BYTES", "CanonicalCodec", "digest_of"]

DIGEST_BYTES = 12
EXACT = 1 << 53
"""Up to this number every int is exact as a float, and every whole float is exact as an int."""
MAX_DIGITS = 400
"""A Decimal of more digits is never converted to an int: with a large exponent that could take all memory."""
NAN = float("nan")
_PLAIN_DEFAULTS = (type(None), bool, int, str, bytes)


class CanonicalCodec(Codec):
    """Encodes and refuses the same values as the codec that it is made for."""

    def __init__(self, codec: Codec, plain: Callable[[type], Collection[str]]) -> None:
        """`plain` gives the fields of a class that are encoded unchanged: equal values have equal bytes."""
        super().__init__(max_bytes=codec.max_bytes)
        self._codec = codec
        self._plain = plain
        self._unkeyed: CanonicalCodec | None = None
        encoders = self._encoders
        encode_datetime, encode_time = encoders[datetime], encoders[time]
        encode_int = encoders[int]
        encoders[Decimal] = lambda value: _of_decimal(value, encode_int)
        encoders[datetime] = lambda value: _of_datetime(value, encode_datetime)
        encoders[time] = lambda value: _of_time(value, encode_time)
        for name, cls in codec.registered.items():
            self.register(cls, name)
            if cls in self._getters:
                self._getters[cls] = name, self._canonical_getter(cls, plain(cls)), codec.is_flat(cls)

    def seal_with(self, sealer: Sealer) -> None:
        """Have a digest with the subject's key stand for each value of a personal field.

        Without that key nobody can find out by trying which value it was. Call it once, before threads share
        this.
        """
        self._unkeyed = CanonicalCodec(self._codec, self._plain)
        for cls, personal in self._codec.personal.items():
            name, getter, flat = self._getters[cls]
            subjects = {field: one.subject for field, one in personal.items()}
            self._getters[cls] = name, self._keyed_getter(getter, subjects, sealer), flat

    def _keyed_getter(
        self, getter: Callable[[Any], dict[str, Any]], subjects: dict[str, str], sealer: Sealer
    ) -> Callable[[Any], dict[str, Any]]:
        def fields_of(message: Any) -> dict[str, Any]:
            fields = getter(message)
            for name, subject in subjects.items():
                if name in fields:
                    packed = self.pack(fields[name])
                    fields[name] = sealer.digest(str(getattr(message, subject)), packed)
            return fields

        return fields_of

    def had_digest(self, value: Any, digest: bytes) -> bool:
        """Whether `value` had this digest earlier: under a former name of its class, or by an earlier engine.

        Or before fields became personal. An earlier version of this engine digested stored bytes. With it, a
        message may also have the digest that it had before its class gained its last fields, if these have
        their default.
        """
        if self._unkeyed is not None and digest_of(self._unkeyed.pack(value)) == digest:
            return True  # before fields became personal
        codec = self._codec
        cls = type(value)
        if cls not in self._getters:
            return digest_of(codec.pack(value)) == digest
        for former in codec.former_names.get(cls, ()):
            if _digest_of_message(self, former, self.fields(value)) == digest:
                return True
        name, fields = codec.name_of(cls), codec.fields(value)
        if _digest_of_message(codec, name, fields) == digest:
            return True
        counting = self.fields(value)
        while fields and next(reversed(fields)) not in counting:
            fields.popitem()
            if _digest_of_message(codec, name, fields) == digest:
                return True
        return False

    def _canonical_getter(self, cls: type, plain: Collection[str]) -> Callable[[Any], dict[str, Any]]:
        stored = stored_fields(cls)
        names: dict[str, Any] = {"walk": self._walk}
        lines = ["def fields_of(message):", "    fields = {}"]
        fields = sorted((field for field in dataclasses.fields(cls) if field.name in stored), key=_name)
        if not any(map(_has_default, fields)):
            display = ", ".join(f"{field.name!r}: {_value(field, plain)}" for field in fields)
            lines[1:] = [f"    return {{{display}}}"]
        else:
            for number, field in enumerate(fields):
                name, put = field.name, f"fields[{field.name!r}]"
                if not _has_default(field):
                    lines.append(f"    {put} = {_value(field, plain)}")
                elif name in plain and isinstance(field.default, (*_PLAIN_DEFAULTS, enum.Enum)):
                    names[f"default{number}"] = field.default
                    lines += [f"    value = message.{name}", f"    if value != default{number}:"]
                    lines.append(f"        {put} = value")
                else:
                    names[f"is_default{number}"] = self._compares_with(field)
                    lines += [f"    value = message.{name}", f"    if not is_default{number}(value):"]
                    lines.append(f"        {put} = {'value' if name in plain else 'walk(value)'}")
            lines.append("    return fields")
        return define("fields_of", "\n".join(lines), names)

    def _compares_with(self, field: dataclasses.Field[Any]) -> Callable[[Any], bool]:
        """A function that says whether a value equals the field's default, evaluated at its first call."""
        default: list[bytes | None] = []

        def bytes_of_default() -> bytes | None:
            if field.default is not dataclasses.MISSING:
                return self.pack(self._walk(field.default))
            make: Any = field.default_factory
            try:
                first, second = (self.pack(self._walk(make())) for _ in range(2))
            except CodecError:
                raise
            except Exception:
                return None
            # A new id, or the time: a factory that makes another value each time has no default to leave out.
            return first if first == second else None

        def is_default(value: Any) -> bool:
            if not default:
                default.append(bytes_of_default())
            if (type(value) is list or type(value) is dict) and not value:
                return default[0] == (b"\x90" if type(value) is list else b"\x80")
            return self._pack_item(self._walk(value)) == default[0]

        return is_default

    def _walk(self, value: Any) -> Any:
        kind = type(value)
        if kind is float or kind is int or kind is bool:
            return _of_number(value)
        if kind is dict:
            if all(type(key) is str for key in value):
                return {key: self._walk(value[key]) for key in sorted(value)}
            pairs = [(self._walk(key), self._walk(item)) for key, item in value.items()]
            pairs.sort(key=lambda pair: self._pack_item(pair[0]))
            merged = dict(pairs)
            return merged if len(merged) == len(pairs) else pairs  # a dict may hold NaN twice
        if kind is list or kind is tuple:
            return kind(map(self._walk, value))
        if kind is frozenset:
            items = frozenset(map(self._walk, value))
            if len(items) == len(value):
                return items
            return ExtType(
                FROZENSET, self._pack_item(sorted(self._pack_item(self._walk(item)) for item in value))
            )
        return value


def digest_of(data: bytes) -> bytes:
    """The digest that is stored with a command id."""
    return blake2b(data, digest_size=DIGEST_BYTES).digest()


def _digest_of_message(codec: Codec, name: str, fields: dict[str, Any]) -> bytes:
    return digest_of(codec.pack(ExtType(MESSAGE, codec.pack([name, fields]))))


def _name(field: dataclasses.Field[Any]) -> str:
    return field.name


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _value(field: dataclasses.Field[Any], plain: Collection[str]) -> str:
    return f"message.{field.name}" if field.name in plain else f"walk(message.{field.name})"


def _of_number(value: float) -> float:
    """The one number for all equal ones: an int if that is exact as a float, a float if it can be one."""
    if -EXACT <= value <= EXACT:
        whole = int(value)
        return whole if whole == value else value
    if value != value:
        return NAN
    if type(value) is int:
        try:
            near = float(value)
        except OverflowError:
            return value
        return near if near == value else value
    return value


def _of_decimal(value: Decimal, encode_int: Callable[[int], ExtType]) -> Any:
    if value.is_nan():
        return ExtType(DECIMAL, str(value).encode())
    text = str(value)
    if "." in text and "E" not in text:
        text = text.rstrip("0")
        if text[-1] not in "5.":  # a fraction that is exact as a float ends with a 5
            return ExtType(DECIMAL, text.encode())
    near = float(value)
    if near == value:
        return _of_number(near)
    if value.adjusted() < MAX_DIGITS and value == value.to_integral_value():
        whole = int(value)
        return whole if -(1 << 63) <= whole < 1 << 64 else encode_int(whole)
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits))
    short = text.rstrip("0")
    exponent = int(exponent) + len(text) - len(short)
    return ExtType(DECIMAL, f"{'-' * sign}{short.lstrip('0')}E{exponent}".encode())


def _of_datetime(value: datetime, encode: Callable[[datetime], ExtType]) -> ExtType:
    plain = encode(value)
    if value.tzinfo is UTC:
        return plain
    if value.utcoffset() is None:
        return encode(value.replace(fold=0)) if value.fold else plain
    try:
        return ExtType(DATETIME, value.astimezone(UTC).isoformat().encode())
    except (OverflowError, ValueError):
        return plain  # within a day of the first or the last date that Python has


def _of_time(value: time, encode: Callable[[time], ExtType]) -> ExtType:
    plain = encode(value)
    offset = value.utcoffset()
    if offset is None:
        return encode(value.replace(fold=0)) if value.fold else plain
    of_day = timedelta(
        hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
    )
    return ExtType(TIME, f"{(of_day - offset) // timedelta(microseconds=1)}Z".encode())
