"""The schema of a store as notes of its log: one for each type, so that it grows well.

    schema/domain          the domain's name, and the position after which `written` is complete
    schema/type/NAME       a class, as it was stored last
    schema/model/NAME      a read model, as the code that filled it
    schema/manager/NAME    a process manager
    schema/written/NAME    that an event was written under this stored name
    schema/accepted/NAME   what was opened all the same, though code could not read it

Functions over a log that somebody else opened; any thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import msgpack

from actors.schema.description import FORMAT, Manager, Model, Schema, StoredType
from storage.errors import NewerFormat
from storage.files.damage import damaged_records
from storage.log.log_reader import LogReader
from storage.log.notes import Note

__all__ = [
    "StoredSchema",
    "accepted_note",
    "changes",
    "is_of_types",
    "model_note",
    "read_schema",
    "written_note",
]

PREFIX = b"schema/"
DOMAIN = PREFIX + b"domain"
KINDS: dict[str, Any] = {"type": StoredType, "model": Model, "manager": Manager}
LONGEST = 200
"""Bytes of a name that is part of a key as it is."""


@dataclass(frozen=True, slots=True)
class StoredSchema:
    """What the notes say; `schema` is None for a store that has none yet.

    `written` are the stored names of events written after the position `since`; what is before is not known.
    `accepted` are the names that were accepted so far.
    """

    schema: Schema | None = None
    written: frozenset[str] = field(default_factory=frozenset)
    since: int = 0
    accepted: frozenset[str] = field(default_factory=frozenset)


def read_schema(log: LogReader) -> StoredSchema:
    """The schema of the store. Raises `DamagedStore`, and `NewerFormat` for one of a later version."""
    notes = log.notes(PREFIX)
    found: dict[str, dict[str, Any]] = {kind: {} for kind in (*KINDS, "written", "accepted")}
    about: dict[str, Any] | None = None
    with damaged_records("the schema of the store, in the log,", "restore a backup"):
        for key, value in notes:
            plain = msgpack.unpackb(value)
            if key == DOMAIN:
                about = plain
                if plain["format"] > FORMAT:
                    raise NewerFormat(
                        f"the schema of this store has format {plain['format']}, and this version of "
                        f"onewriter reads up to {FORMAT}: update onewriter"
                    )
                continue
            kind = key.split(b"/")[1].decode()
            name = plain.pop("name")
            found[kind][name] = KINDS[kind].of(plain) if kind in KINDS else plain
        if about is None:
            return StoredSchema()
        schema = Schema(about["name"], found["type"], found["model"], found["manager"])
        written, accepted = frozenset(found["written"]), frozenset(found["accepted"])
        return StoredSchema(schema, written, about["since"], accepted)


def changes(stored: StoredSchema, schema: Schema, head: int) -> list[Note]:
    """The notes that make the store's schema this one; none where nothing differs.

    `head` is the log's, for a store that has no schema yet.
    """
    old = stored.schema
    wanted = _notes(schema)
    had = {} if old is None else _notes(old)
    notes: list[Note] = [(key, value) for key, value in wanted.items() if had.get(key) != value]
    notes += [(key, None) for key in had.keys() - wanted.keys()]
    if old is None or old.domain != schema.domain:
        since = head if old is None else stored.since
        about = {"format": FORMAT, "name": schema.domain, "since": since}
        notes.append((DOMAIN, msgpack.packb(about)))
    return sorted(notes)


def written_note(name: str) -> Note:
    """The note that an event was written under this stored name."""
    return _key("written", name), msgpack.packb({"name": name})


def accepted_note(name: str) -> Note:
    """The note that a mismatch of this name was accepted."""
    return _key("accepted", name), msgpack.packb({"name": name})


def model_note(name: str, model: Model) -> Note:
    """The note of a read model that this code has filled on every replica."""
    return _key("model", name), msgpack.packb({"name": name, **model.as_dict()})


def _notes(schema: Schema) -> dict[bytes, bytes]:
    groups: Iterable[tuple[str, Any]] = (
        ("type", schema.types),
        ("model", schema.models),
        ("manager", schema.managers),
    )
    return {
        _key(kind, name): msgpack.packb({"name": name, **one.as_dict()})
        for kind, group in groups
        for name, one in group.items()
    }


def is_of_types(key: bytes) -> bool:
    """Whether a note says which classes events may have."""
    if not key.startswith(PREFIX):
        return False
    return key == DOMAIN or key[len(PREFIX) :].decode("utf-8", "replace").partition("/")[0] in (
        "type",
        "written",
        "accepted",
    )


def _key(kind: str, name: str) -> bytes:
    data = name.encode("utf-8", "surrogatepass")
    if len(data) > LONGEST:
        data = blake2b(data, digest_size=16).hexdigest().encode()
    return PREFIX + f"{kind}/".encode() + data
