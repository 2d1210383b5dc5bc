"""The message codec: Python values to msgpack bytes and back, never pickle.

Any thread, once all classes are registered.

Registered frozen dataclasses and enums are stored under a stable name that does not depend on their Python
path, so a class may move. Decoding needs only the registry.

The disk format is fixed for ever. None, bool, int of up to 64 bits, float, str, bytes, list and dict are
msgpack's own types. Everything else is a msgpack extension, whose body is given here (brackets and braces
mean packed msgpack):

    1  message    [name, {field: value}]             7  datetime   ISO 8601 text with its UTC offset, if any
    2  enum       [name, [member name, ...]]         8  date       ISO 8601 text
    3  tuple      [item, ...]                        9  time       ISO 8601 text with its UTC offset, if any
    4  frozenset  [packed item, ...], sorted        10  timedelta  [days, seconds, microseconds]
    5  int        signed big-endian bytes           11  UUID       16 bytes
    6  Decimal    its exact text
   12  sealed     a personal field, see `storage.codec.personal_fields`

The name of a message or an enum is followed by "@" and its version, if that is not 1 (see
`storage.codec.upcasting`). A naive datetime or time with fold=1 has a "*" after its text. A flag is stored as
the names of its single bits. Equal frozensets have equal bytes; dicts keep their order. A subclass of a
built-in type is refused, because it would be decoded as the built-in type. An accepted value is decoded as it
was, with the exceptions listed in `storage.codec.fidelity`. At most 32 extension values, and 128 lists and
dicts, may be nested in one another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgpack import Packer, StackError, unpackb

from storage.codec.levels import PackLevel, UnpackLevel
from storage.codec.message_classes import stored_fields
from storage.codec.personal_fields import SEALED, Sealer, compile_sealing_getter, sealed_of
from storage.codec.type_registry import TypeRegistry
from storage.codec.upcasting import upcast_member
from storage.codec.values import (
    ENUM,
    MAX_CONTAINERS,
    MESSAGE,
    SPARE_CONTAINERS,
    Refusal,
    enum_of,
    leaf_decoders,
    require_shallow,
    unencodable,
)
from storage.errors import CodecError, MessageTooLarge

DEFAULT_MAX_BYTES = 16 << 20
FIXSTR, SHORT_TEXT = 0xA0, 32
"""How msgpack begins a text of so many bytes, and the first length that begins otherwise."""
SPARE_BYTES = 16 << 10
"""A packer that has packed more bytes is not reused: it would keep that much memory."""

_HOLDERS = frozenset({list, dict, tuple, frozenset})
_RECORD_CONTAINERS = 2  # the record itself is a list, and the fields of its message are a dict
_REFUSALS = (Refusal, ValueError, OverflowError, RecursionError)  # UnicodeEncodeError is a ValueError


class Codec(TypeRegistry):
    """Encodes and decodes values with a registry of message classes and enums.

    Register everything before threads share the codec; after that any thread may use it. `max_bytes` bounds
    an encoded message; raise it only if messages of more than 16 MiB are intended.
    """

    def __init__(self, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        super().__init__()
        self.max_bytes = max_bytes
        self._safe_types = self.shareable.safe_types
        outermost = PackLevel(self._encoders, self._getters)
        self._new_outermost = outermost.new_packer
        self._new_packer = outermost.inside().new_packer
        # A Packer serves one call at a time: used from its own hook it returns bytes that do not decode.
        # Taking one from this list and putting it back costs a fifth of making one. Two threads never take
        # the same one.
        self._spare: list[Packer] = []
        decoders = leaf_decoders()
        decoders[ENUM] = self._decode_enum
        decoders[SEALED] = sealed_of
        unpacking = UnpackLevel(decoders, self.build)
        self.extension: Callable[[int, bytes], Any] = unpacking.hook
        self.unpack: Callable[[bytes], Any] = unpacking.unpack
        """`decode` without translated errors: raises whatever msgpack raises for damaged bytes."""
        self.sealed: Codec = self
        """The codec for what goes into the log: it seals personal fields. This one, if there are none."""
        self.digesting: Codec = self
        """The codec for bytes of which a digest is kept, from which nobody is to guess personal values."""

    def seal_with(self, sealer: Sealer) -> None:
        """Seal personal fields of what `sealed` encodes with keys of `sealer`, and read them with those.

        Call it once, when all is registered, before threads share the codec.
        """
        self.sealer = sealer
        variant = Codec(max_bytes=self.max_bytes)
        variant._copy_registry(self)
        variant._safe_types = self._safe_types
        for cls, personal in self.personal.items():
            stored, _, flat = self._getters[cls]
            fields = list(stored_fields(cls))
            getter = compile_sealing_getter(stored, fields, personal, sealer, self.pack)
            variant._getters[cls] = stored, getter, flat
        self.sealed = variant

    def unpack_value(self, data: bytes) -> Any:
        """The value in packed bytes. Raises whatever msgpack raises for damaged ones."""
        length = len(data) - 1
        if 0 <= length < SHORT_TEXT and data[0] == FIXSTR | length:
            return data[1:].decode()  # nearly all personal values are short texts
        return self.unpack(data)

    # -- values ----------------------------------------------------------------------------------------------
    def encode(self, value: object) -> bytes:
        """Return the bytes of any supported value.

        Raises UnregisteredType or UnencodableValue with the path to the value at fault, which may also be
        nested too deeply; MessageTooLarge if the result is longer than `max_bytes`.
        """
        data = self.pack(value)
        size = len(data)
        if size > self.max_bytes:
            raise self.too_large(type(value).__name__, size)
        if size > MAX_CONTAINERS and type(value) in _HOLDERS:
            require_shallow(value, data, MAX_CONTAINERS + SPARE_CONTAINERS)
        return data

    def decode(self, data: bytes) -> Any:
        """Return the value that `encode` was given.

        Raises UnknownType for a stored name that is not registered, CodecError for fields that no longer fit
        their class and for bytes that no codec wrote.
        """
        try:
            return self.unpack(data)
        except CodecError:
            raise
        except StackError as error:
            raise CodecError(
                f"{len(data)} stored bytes are nested too deeply: they hold more lists and dicts inside one "
                "another than msgpack unpacks"
            ) from error
        except (ValueError, TypeError, ArithmeticError, LookupError, RecursionError) as error:
            raise CodecError(
                f"{len(data)} stored bytes are not what the codec writes ({type(error).__name__}: {error}); "
                "they are damaged or foreign"
            ) from error

    def own(self, value: Any) -> Any:
        """The value itself if it is shareable, else a copy for the caller alone, made by way of its bytes.

        `storage.codec.fidelity` says which values are shareable. Raises what `encode` raises, but no
        MessageTooLarge; and CodecError if a class refuses the fields that its instance had.
        """
        kind, safe = type(value), self._safe_types
        if kind in safe:
            return value
        doubtful = self.shareable.doubtful_fields.get(kind)
        if doubtful is not None:
            name, fields = self.describe(value)
            changed = False
            try:
                for field in doubtful:
                    held = fields[field]
                    own = fields[field] = self.own(held)
                    changed = changed or own is not held
            except RecursionError:
                return self.decode(self.pack(value))  # raises the error for a value nested too deeply
            except CodecError:
                self.pack(value)  # raises an error with the path in the message, not only in the field
                raise
            return self.build(name, fields) if changed else value
        if kind is list:
            if safe.issuperset(map(type, value)):
                return value.copy()
        elif kind is dict:
            if safe.issuperset(map(type, value)) and safe.issuperset(map(type, value.values())):
                return value.copy()
        elif self.shareable(value):
            return value
        return self.decode(self.pack(value))

    def pack(self, value: object) -> bytes:
        """`encode` without its limits, except for a message's limit on nesting; not for bytes on disk.

        Unlimited are the length and, in anything but a message, the nesting of lists and dicts.
        """
        message = self._getters.get(type(value))
        if message is None and type(value) is list:
            try:
                return self._new_outermost().pack(value)  # type: ignore[no-any-return]
            except _REFUSALS as error:
                raise unencodable(value, error) from None
        spare = self._spare
        try:
            packer = spare.pop()
        except IndexError:
            packer = self._new_packer()
        data: bytes
        flat = True
        try:
            if message is None:
                data = packer.pack(value)
            else:
                # The same bytes as with the packer's hook, in half the time.
                name, getter, flat = message
                data = packer.pack_ext_type(MESSAGE, packer.pack([name, getter(value)]))
        except _REFUSALS as error:
            raise unencodable(value, error) from None
        size = len(data)
        if size <= SPARE_BYTES:
            spare.append(packer)
        if not flat and size > MAX_CONTAINERS:
            require_shallow(value, data, MAX_CONTAINERS)
        return data

    def pack_record(self, record: list[Any], cls: type, metadata: Any) -> bytes:
        """`encode` of a list, of any length, with the fields of a message of class `cls` and metadata."""
        spare = self._spare
        try:
            packer = spare.pop()
        except IndexError:
            packer = self._new_packer()
        try:
            data: bytes = packer.pack(record)
        except _REFUSALS as error:
            raise unencodable(record, error) from None
        if len(data) <= SPARE_BYTES:
            spare.append(packer)
        if len(data) > MAX_CONTAINERS and not (metadata is None and self._getters[cls][2]):
            require_shallow(record, data, MAX_CONTAINERS + _RECORD_CONTAINERS)
        return data

    def packer(self) -> Callable[[object], bytes]:
        """Return a `pack` for many values in a row in one thread, but not for messages.

        The function raises whatever msgpack raises.
        """
        return self._new_packer().pack  # type: ignore[no-any-return]

    def too_large(self, what: str, size: int) -> MessageTooLarge:
        """Return the error for an encoded message of `size` bytes."""
        return MessageTooLarge(
            f"{what} takes {size:,} bytes encoded, the limit is {self.max_bytes:,}; store large content "
            "elsewhere and keep a reference to it in the message",
            size,
            self.max_bytes,
        )

    def _pack_item(self, value: Any) -> bytes:
        return self._new_packer().pack(value)  # type: ignore[no-any-return]

    # -- inside ----------------------------------------------------------------------------------------------
    def _decode_enum(self, data: bytes) -> object:
        name, names = unpackb(data)
        if name in self._members:
            cls, upcasters = self._members[name]
            return enum_of(cls, self._names[cls], [upcast_member(upcasters, one) for one in names])
        return enum_of(self._types.get(name) or self.type_of(name), name, names)
