"""The records of the event log, and how they are laid out in keys and bytes. Pure; any thread.

An event is [stream, version, type, fields, time_us, command_id, command, causation_id, correlation_id, tags,
metadata] under its position; the first event of a command has its origin at the end. A command is [first,
count, digest, stream, version] under its id; a snapshot is [version, fingerprint, state] under its stream. An
origin is what the events do not say about their command: its digest, or [digest, stream, version] if its last
event does not give its own stream and version. Numbers in keys are 64 bits, big-endian, so that they sort.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgpack import ExtType, Packer, StackError, Unpacker, unpackb

from storage.codec.codec import Codec
from storage.errors import CodecError, DamagedStore, InvalidKey, KeyTooLong
from storage.limits import MAX_NAME_BYTES
from storage.value_text import short_repr

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
U64 = struct.Struct(">Q")

Origin = bytes | list[Any]
"""What the first event of a command says about it beyond what the events say by themselves."""

WITH_ORIGIN = b"\x9c"
"""The first byte of an event with an origin: the head of a msgpack array of twelve items."""

_FIELDS, _TIME, _COMMAND_ID, _METADATA = 3, 4, 5, 10  # indexes in a stored event


class RecordedEvent:
    """An event in the log. Do not change it, though nothing enforces that: millions of them are created.

    `time_us` is in microseconds since 1970 UTC. `command` is the type name of the command that caused it, or
    None for a fact from outside. Where upcasters made several events of one, `part` is its number among
    these, from 0, and `parts` how many they are.
    """

    part = 0
    parts = 1

    __slots__ = (
        "position",
        "stream",
        "version",
        "event",
        "type",
        "time_us",
        "command_id",
        "command",
        "causation_id",
        "correlation_id",
        "tags",
        "metadata",
    )

    def __init__(
        self,
        position: int,
        stream: str,
        version: int,
        event: Any,
        type: str,
        time_us: int,
        command_id: str,
        command: str | None = None,
        causation_id: str | None = None,
        correlation_id: str | None = None,
        tags: tuple[str, ...] = (),
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.position = position
        self.stream = stream
        self.version = version
        self.event = event
        self.type = type
        self.time_us = time_us
        self.command_id = command_id
        self.command = command
        self.causation_id = causation_id
        self.correlation_id = correlation_id
        self.tags = tags
        self.metadata = metadata

    @property
    def time(self) -> datetime:
        """The time of the event as an aware datetime in UTC."""
        return EPOCH + timedelta(microseconds=self.time_us)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RecordedEvent):
            return NotImplemented
        names = RecordedEvent.__slots__
        return self.part == other.part and all(getattr(self, name) == getattr(other, name) for name in names)

    def __hash__(self) -> int:
        return hash((self.position, self.stream, self.version))

    def __repr__(self) -> str:
        return f"RecordedEvent({self.position}, {self.stream!r}, {self.version}, {self.event!r})"


class RecordedPart(RecordedEvent):
    """One of several events that upcasters made of one in the log."""

    __slots__ = ("part", "parts")

    def __init__(self, part: int, parts: int, *envelope: Any) -> None:
        """`envelope` is what a `RecordedEvent` takes."""
        super().__init__(*envelope)
        self.part = part
        self.parts = parts


class Undecodable:
    """In a `RecordedEvent`, replaces an event that cannot be decoded.

    `error` says why. `fields` are the stored ones by name, values other than plain ones as they are packed;
    there are none if they are nested too deeply to be read.
    """

    __slots__ = ("error", "fields")

    def __init__(self, error: CodecError, fields: dict[str, Any]) -> None:
        self.error = error
        self.fields = fields

    def __repr__(self) -> str:
        return f"Undecodable({type(self.error).__name__}: {self.error})"


class Dropped:
    """In a `RecordedEvent`, replaces an event that upcasters dropped: nobody handles it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "DROPPED"


DROPPED = Dropped()


class CommandRecord:
    """The result of a command: `count` events from position `first` on; or none, decided after that position.

    `digest` is the digest of its payload; `stream` and `version` are its own stream and that stream's version
    after it.
    """

    __slots__ = ("command_id", "first", "count", "digest", "stream", "version")

    def __init__(
        self, command_id: str, first: int, count: int, digest: bytes, stream: str, version: int
    ) -> None:
        self.command_id = command_id
        self.first = first
        self.count = count
        self.digest = digest
        self.stream = stream
        self.version = version

    def __eq__(self, other: object) -> bool:
        if type(other) is not CommandRecord:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash(self.command_id)

    def __repr__(self) -> str:
        return (
            f"CommandRecord({self.command_id!r}, {self.first}, {self.count}, {self.digest.hex()}, "
            f"{self.stream!r}, {self.version})"
        )


# -- keys ----------------------------------------------------------------------------------------------------
def name_key(kind: str, name: str, limit: int = MAX_NAME_BYTES) -> bytes:
    """Return the UTF-8 of a name; raises InvalidKey or KeyTooLong. Errors call the name `kind`."""
    try:
        key = name.encode()
    except (AttributeError, UnicodeEncodeError) as error:
        raise InvalidKey(f"{kind} {short_repr(name, 100)} is not valid text ({error})") from None
    if 0 < len(key) <= limit and b"\0" not in key:
        return key
    if len(key) > limit:
        raise KeyTooLong(
            f"{kind} {short_repr(name, 60)} takes {len(key)} bytes in UTF-8, the limit is {limit}"
        )
    raise InvalidKey(
        f"{kind} {short_repr(name, 100)} {'holds a NUL' if key else 'is empty'}; choose another name"
    )


# -- bytes ---------------------------------------------------------------------------------------------------
def encode_event(codec: Codec, recorded: RecordedEvent, origin: Origin | None = None) -> bytes:
    """Return the stored bytes of an event; the first event of a command gets its origin.

    Raises what `Codec.encode` does, MessageTooLarge included.
    """
    type_name, fields = codec.describe(recorded.event)
    record = [
        recorded.stream,
        recorded.version,
        type_name,
        fields,
        recorded.time_us,
        recorded.command_id,
        recorded.command,
        recorded.causation_id,
        recorded.correlation_id,
        list(recorded.tags),
        recorded.metadata,
    ]
    if origin is not None:
        record.append(origin)
    try:
        data = codec.pack_record(record, type(recorded.event), recorded.metadata)
    except CodecError as error:
        closer = error
        # Encoding only the event gives an error whose path begins at the event, unless its metadata is at
        # fault.
        try:
            codec.pack(recorded.event)
        except CodecError as of_event:
            closer = of_event
        else:
            # If the metadata is nested too deeply, only the error of the record says so.
            closer = _of_origin(codec, recorded) or type(error)(
                str(error).replace(f"list[{_METADATA}]", "metadata", 1)
            )
        closer.add_note(f"in event {codec.base_name(type_name)} of stream {recorded.stream!r}")
        raise closer from None
    if len(data) > codec.max_bytes:
        raise codec.too_large(f"event {codec.base_name(type_name)} of stream {recorded.stream!r}", len(data))
    return data


def _of_origin(codec: Codec, recorded: RecordedEvent) -> CodecError | None:
    """The error in a value that the caller gave with the event; its path begins there: `metadata['user']`."""
    for name in ("metadata", "causation_id", "correlation_id"):
        value = getattr(recorded, name)
        try:
            codec.encode(value)
        except CodecError as error:
            return type(error)(str(error).replace(type(value).__name__, name, 1))
    return None


def envelope_of(data: bytes) -> list[Any]:
    """The items of a stored event. All except its fields and its metadata are decoded; these may be anything.

    For an event that cannot be decoded, whatever it contains. Raises whatever msgpack raises if it is not an
    event.
    """
    try:
        return list(unpackb(data, ext_hook=ExtType, strict_map_key=False))
    except StackError:
        # Earlier versions wrote values that msgpack packs but does not unpack.
        unpacker = Unpacker(read_size=1, max_buffer_size=len(data))
        unpacker.feed(data)
        items: list[Any] = []
        for number in range(unpacker.read_array_header()):
            if number in (_FIELDS, _METADATA):
                _skip(unpacker, data)
                items.append(None)
            else:
                items.append(unpacker.unpack())
        return items


def _skip(unpacker: Unpacker, data: bytes) -> None:
    """Skip a value, one list or dict after another: `Unpacker.skip` goes no deeper than `unpack`."""
    left = 1
    while left:
        head = data[unpacker.tell()]
        left -= 1
        if 0x80 <= head <= 0x8F or head in (0xDE, 0xDF):
            left += 2 * unpacker.read_map_header()
        elif 0x90 <= head <= 0x9F or head in (0xDC, 0xDD):
            left += unpacker.read_array_header()
        else:
            unpacker.skip()


def time_us_of(data: bytes) -> int:
    """The time of an event in stored bytes, in microseconds since 1970. Raises as `envelope_of`."""
    return int(envelope_of(data)[_TIME])


def command_of(data: bytes) -> str:
    """The command id of an event in stored bytes; nothing else is decoded. Raises DamagedStore."""
    unpacker = Unpacker(read_size=len(data), max_buffer_size=len(data))
    unpacker.feed(data)
    try:
        unpacker.read_array_header()
        for _ in range(_COMMAND_ID):
            unpacker.skip()
        command_id: str = unpacker.unpack()
    except StackError:
        command_id = envelope_of(data)[_COMMAND_ID]
    except Exception as error:
        raise DamagedStore(f"a record of the log is not an event ({error}); restore a backup") from error
    return command_id


def fingerprint_of(data: bytes) -> str:
    """The fingerprint of the code that folded a stored snapshot's state, which is not decoded.

    Raises ValueError for other bytes.
    """
    unpacker = Unpacker(read_size=len(data), max_buffer_size=len(data))
    unpacker.feed(data)
    unpacker.read_array_header()
    unpacker.skip()
    return str(unpacker.unpack())


def command_packer() -> Callable[[tuple[int, int, bytes, str, int]], bytes]:
    """Return a function from first, count, digest, stream and version to a record; for one thread."""
    # A buffer of the usual 256 KiB would be mapped and unmapped each time.
    packer: Callable[[tuple[int, int, bytes, str, int]], bytes] = Packer(buf_size=512).pack
    return packer


def origin_of(record: CommandRecord, last: RecordedEvent) -> Origin:
    """Return the origin that the first event of a command stores, given the command's last event."""
    if record.stream == last.stream and record.version == last.version:
        return record.digest
    return [record.digest, record.stream, record.version]


def decode_command(codec: Codec, command_id: str, data: bytes) -> CommandRecord:
    """Return the record stored under a command id. Raises DamagedStore."""
    try:
        first, count, digest, stream, version = codec.decode(data)
    except (CodecError, ValueError, TypeError) as error:
        raise DamagedStore(
            f"the record of command {command_id!r} is damaged ({error}); restore a backup"
        ) from error
    return CommandRecord(command_id, first, count, digest, stream, version)
