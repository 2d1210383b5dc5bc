"""The lines of an export: what each contains, and the stored bytes that it gives. Pure; any thread.

Each line is a JSON object. The first is the `Header`, the last the end with counts and a digest. Between them
are the events in order of position; then, in an export of the whole log, the commands that no event tells of,
and the notes. The JSON form of values is that of `storage.codec.json_form`. A record whose bytes its JSON
would not give exactly, as damaged ones, has them in `stored`, too, as base64.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from storage.codec.json_form import Json, from_json, pack_stored, to_json, unpack_stored
from storage.errors import CodecError
from storage.log.records import EPOCH, CommandRecord, Origin

__all__ = [
    "FORMAT",
    "ExportDigest",
    "Header",
    "command_line",
    "command_of_line",
    "event_line",
    "note_line",
    "note_of_line",
    "record_of_line",
    "text_of_line",
]

FORMAT = 1
"""The version of the lines; raised if an older program could no longer import them."""
NAME = "onewriter_export"

_ENVELOPE = (
    "stream",
    "version",
    "type",
    "fields",
    "time",
    "command_id",
    "command",
    "causation_id",
    "correlation_id",
    "tags",
    "metadata",
)
_SHOWN = (*(name for name in _ENVELOPE if name != "fields"), "fields")
"""In the order of a line: the fields are last, as they are long."""
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Header:
    """What an export says about its log. `whole` says whether it has all that an import needs.

    `values` is "stored" for values as they are in the log, "decoded" for values that went through the classes
    of a domain. `created` is in ISO 8601.
    """

    history_id: str
    created: str
    head: int
    values: str
    whole: bool

    def line(self) -> dict[str, Json]:
        """The first line."""
        return {NAME: FORMAT, **asdict(self)}

    @classmethod
    def of_line(cls, line: dict[str, Json]) -> Header:
        """The header in a first line. Raises ValueError."""
        number = line.get(NAME)
        if type(number) is not int:
            raise ValueError("the first line is not that of an export; give a file that `export` wrote")
        if number > FORMAT:
            raise ValueError(
                f"the export has format {number}, and this program reads up to {FORMAT}; import it with the "
                "version that wrote it"
            )
        given = {field.name: line.get(field.name) for field in fields(cls)}
        header = cls(**given)  # type: ignore[arg-type]
        if not (type(header.head) is int and type(header.whole) is bool):
            raise ValueError("the first line lacks head or whole")
        return header


class ExportDigest:
    """The digest of an export's records; the order of the records counts."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)

    def add(self, *parts: bytes) -> None:
        """Add a record, given as all that it consists of."""
        for part in parts:
            self._hash.update(len(part).to_bytes(8))
            self._hash.update(part)

    def add_command(self, record: CommandRecord) -> None:
        """Add the record of a command that no event gives."""
        numbers = f"{record.first} {record.count} {record.version}"
        self.add(record.command_id.encode(), record.digest, record.stream.encode(), numbers.encode())

    def text(self) -> str:
        """The digest in hexadecimal digits."""
        return self._hash.hexdigest()


def text_of_line(line: dict[str, Json]) -> str:
    """A line as it is written, with its end."""
    return json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"


# -- events --------------------------------------------------------------------------------------------------
def event_line(position: int, data: bytes) -> dict[str, Json]:
    """The line of an event in stored bytes, whatever they are."""
    try:
        line = _plain_event_line(position, unpack_stored(data))
        if _pack_record(line) == data:
            return line
        reason = ""
    except Exception as error:
        # Anything may be in a damaged record.
        line, reason = {"position": position}, f"{type(error).__name__}: {error}"
    line["stored"] = b64encode(data).decode()
    if reason:
        line["undecodable"] = reason
    return line


def record_of_line(line: dict[str, Json]) -> bytes:
    """The stored bytes that an event's line gives. Raises ValueError, LookupError, TypeError, CodecError."""
    stored = line.get("stored")
    return _pack_record(line) if stored is None else b64decode(stored, validate=True)


def _plain_event_line(position: int, record: list[Any]) -> dict[str, Json]:
    envelope = dict(zip(_ENVELOPE, record, strict=False))
    line: dict[str, Json] = {"position": position}
    for name in _SHOWN:
        value = envelope[name]
        line[name] = _text_of_time(value) if name == "time" else to_json(value)
    if len(record) > len(_ENVELOPE):
        line["origin"] = _origin_form(record[len(_ENVELOPE)])
    return line


def _pack_record(line: dict[str, Json]) -> bytes:
    record = [_time_of_text(line[name]) if name == "time" else from_json(line[name]) for name in _ENVELOPE]
    if "origin" in line:
        record.append(_origin_of_form(line["origin"]))
    return pack_stored(record)


def _text_of_time(time_us: int) -> Json:
    try:
        return (EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="microseconds")
    except OverflowError:
        return time_us  # no year of four digits


def _time_of_text(text: Json) -> int:
    return text if type(text) is int else (datetime.fromisoformat(text) - EPOCH) // _MICROSECOND


def _origin_form(origin: Origin) -> Json:
    if isinstance(origin, bytes):
        return {"digest": origin.hex()}
    digest, stream, version = origin
    return {"digest": digest.hex(), "stream": stream, "version": version}


def _origin_of_form(form: dict[str, Json]) -> Origin:
    digest = bytes.fromhex(form["digest"])
    return [digest, form["stream"], form["version"]] if "stream" in form else digest


# -- commands and notes --------------------------------------------------------------------------------------
def command_line(record: CommandRecord) -> dict[str, Json]:
    """The line of a command that no event tells of."""
    return {
        "command_record": record.command_id,
        "first": record.first,
        "count": record.count,
        "digest": record.digest.hex(),
        "stream": record.stream,
        "version": record.version,
    }


def command_of_line(line: dict[str, Json]) -> CommandRecord:
    """The record in such a line. Raises ValueError, LookupError, TypeError."""
    record = CommandRecord(
        line["command_record"],
        line["first"],
        line["count"],
        bytes.fromhex(line["digest"]),
        line["stream"],
        line["version"],
    )
    if not all(type(number) is int for number in (record.first, record.count, record.version)):
        raise ValueError("first, count and version of a command are whole numbers")
    return record


def note_line(key: bytes, value: bytes) -> dict[str, Json]:
    """The line of a note."""
    return {"note": _key_form(key), "value": _packed_form(value)}


def note_of_line(line: dict[str, Json]) -> tuple[bytes, bytes]:
    """Key and value of the note in such a line. Raises ValueError, LookupError, TypeError, CodecError."""
    key, value = line["note"], line["value"]
    return (
        key.encode() if isinstance(key, str) else from_json(key),
        pack_stored(from_json(value["packed"])) if "packed" in value else from_json(value),
    )


def _key_form(key: bytes) -> Json:
    try:
        text = key.decode()
    except ValueError:
        return to_json(key)
    return text if text.isprintable() else to_json(key)


def _packed_form(value: bytes) -> Json:
    """What is packed in a note; its bytes if it is something else."""
    try:
        form = {"packed": to_json(unpack_stored(value))}
        if pack_stored(from_json(form["packed"])) == value:
            return form
    except (ValueError, TypeError, LookupError, CodecError, RecursionError):
        pass
    return to_json(value)
