"""The check of a store against the code that opens it: what is refused, and what the notes are to say next.

Reads the log, and writes nothing. The opener's thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from actors.errors import DomainError
from actors.schema.comparison import Comparison, Mismatch, Readable, compare, names_of, near
from actors.schema.concerned import Concerned, count_concerned, records_holding
from actors.schema.description import Manager, Schema, StoredType
from actors.schema.notes import StoredSchema, accepted_note, changes, read_schema
from storage.codec.upcasting import stored_name, version_of
from storage.errors import StorageError
from storage.log.log_reader import LogReader
from storage.log.notes import Note
from storage.log.record_filter import type_of

__all__ = ["CheckedSchema", "Code", "ManagerRecords", "check_store"]

logger = logging.getLogger("onewriter.schema")

COUNTING_SECONDS = 5.0
"""How long events are counted at most, once an opening is refused."""

SAMPLE = 300
"""The newest events of a store without a schema whose types are looked at."""


@dataclass(frozen=True, slots=True)
class Code:
    """The code that opens a store: its schema, and where its parts are.

    `readable` says what it reads under other names. `by_code` are the models whose code
    counts as their version.
    """

    schema: Schema
    locations: Mapping[str, str]
    readable: Readable = field(default_factory=Readable)
    by_code: frozenset[str] = frozenset()


class CheckedSchema(NamedTuple):
    """What an opening goes on with.

    `notes` are to be written; `written` are the event types, by their names in the code, of which the store
    knows that they were written in their present version; `changed` are the models whose code is not the one
    that filled them. `plain` are the personal fields of which values may be stored that are not encrypted.
    """

    notes: list[Note]
    written: frozenset[str]
    changed: frozenset[str]
    plain: tuple[str, ...] = ()


class ManagerRecords(Protocol):
    """What process managers have in a store, and what of it the code that opens it reads."""

    def left(self, log: LogReader, name: str) -> str:
        """What a process manager has left, in words; empty for nothing."""

    def needed(self, log: LogReader, name: str, key: bytes, value: bytes) -> bytes:
        """The part of a record that the code may have to read; empty for none."""


def check_store(
    path: str,
    code: Code,
    managers: Callable[[], ManagerRecords],
    accept: Collection[str],
    log: LogReader,
) -> CheckedSchema:
    """Compare the store's schema with that of `code`.

    `managers` is called if there may be a mismatch. `accept` names mismatches that are taken for good. Raises
    `DomainError` that lists all others, and for a name in `accept` that there is nothing like.
    """
    stored = read_schema(log)
    old = stored.schema or _guessed(log, code)
    _check_names(accept, {*names_of(old, code.schema), *stored.accepted})
    found = compare(old, code.schema, code.locations, code.readable)
    mismatches = _with_numbers(log, stored, found, managers()) if found.mismatches else []
    refused = [text for one, text in mismatches if one.name not in accept]
    if refused:
        raise _refusal(path, code.schema.domain, refused, mismatches)
    for _, text in mismatches:
        logger.warning("%s: accepted: %s", path, text)
    for text in found.warnings:
        logger.warning("%s: %s", path, text)
    accepted = {one.name for one, _ in mismatches}
    changed = frozenset() if stored.schema is None else _changed_models(stored.schema, code)
    target = code.schema if stored.schema is None else _following(stored, code, accepted, changed)
    written = frozenset(
        name
        for name, one in code.schema.types.items()
        if one.kind == "event" and stored_name(name, one.version) in stored.written
    )
    notes = changes(stored, target, log.head)
    notes += [accepted_note(name) for name in sorted(accepted - stored.accepted)]
    plain = target.plain_before({version_of(name)[0] for name in stored.written})
    return CheckedSchema(notes, written, changed, plain)


def _guessed(log: LogReader, code: Code) -> Schema:
    """The schema of a store that has none: that of the code, but for what contradicts it."""
    types = dict(code.schema.types)
    with suppress(StorageError):  # what is damaged is found when it is read
        for data in log.records(max(log.head - SAMPLE, 0), SAMPLE):
            name = version_of(type_of(data))[0]
            types.setdefault(name, StoredType("event"))
    managers = dict(code.schema.managers)
    at = b""
    while found := log.notes(b"pm/", at, 1):
        name = found[0][0].split(b"/")[1].decode()
        managers.setdefault(name, Manager(1))
        at = f"pm/{name}0".encode()  # the character after the slash
    return replace(code.schema, types=types, managers=managers)


def _check_names(accept: Collection[str], known: Collection[str]) -> None:
    unknown = [name for name in accept if name not in known]
    if unknown:
        raise DomainError(
            f"accept= names {', '.join(map(repr, unknown))}, which is no class, process manager or domain "
            f"that the store or the code knows{near(unknown[0], known)}"
        )


# -- which of the differences concern what is stored -------------------------------------------
def _with_numbers(
    log: LogReader, stored: StoredSchema, found: Comparison, managers: ManagerRecords
) -> list[tuple[Mismatch, str]]:
    """The mismatches that concern something in the store, each with its text."""
    bases = {version_of(name)[0] for name in stored.written}

    def may_be_written(event: str, one: Mismatch) -> bool:
        if stored.schema is None or stored.since:
            return True  # before there was a schema
        if one.name == event and not one.any_version:
            return stored_name(event, one.version) in stored.written
        return event in bases

    possible = [
        one._replace(of_events=frozenset(event for event in one.of_events if may_be_written(event, one)))
        for one in found.mismatches
    ]
    counted = [one for one in possible if one.of_events]
    numbers = count_concerned(log, counted, COUNTING_SECONDS) if counted else Concerned()
    texts = []
    for one in possible:
        if concerns := _concerns(log, stored, one, numbers, managers):
            place = f"{one.location}: " if one.location else ""
            texts.append((one, f"{place}{one.title} {one.problem}; {concerns}; {one.advice}"))
    return texts


def _concerns(
    log: LogReader,
    stored: StoredSchema,
    one: Mismatch,
    numbers: Concerned,
    managers: ManagerRecords,
) -> str:
    """What in the store a mismatch concerns, in words; empty for nothing."""
    if one.kind == "domain":
        if not log.head and not any(log.notes(b"pm/", limit=1)):
            return ""
        return f"it has {log.head:,} event{'s' * (log.head != 1)}"
    if one.kind == "process manager":
        return managers.left(log, one.name)
    parts = []
    if one.of_events:
        known = stored.schema is not None and not stored.since
        # Bytes that were not looked at may hold it; if they are older than the schema, nobody knows.
        if numbers.events[one] or (known and not numbers.complete):
            parts.append(numbers.text(one))
    if one.kind in ("value", "enum", "command"):
        for name, count in records_holding(log, one, managers.needed).items():
            parts.append(
                f"{count:,} record{'s' * (count != 1)} of process manager {name} hold{'s' * (count == 1)} it"
            )
    return ", and ".join(parts)


def _refusal(
    path: str, domain: str, refused: list[str], mismatches: list[tuple[Mismatch, str]]
) -> DomainError:
    count = "a mismatch" if len(refused) == 1 else f"{len(refused)} mismatches"
    names = list(dict.fromkeys(one.name for one, text in mismatches if text in refused))
    return DomainError(
        f"domain {domain!r} can't read what is stored in {path}: {count}; nothing was changed\n"
        + "\n".join(f"  {text}" for text in refused)
        + f"\nIf you know better, open with accept={names!r}",
        refused,
    )


# -- what the store's schema is next -------------------------------------------------------------
def _following(
    stored: StoredSchema, code: Code, accepted: Collection[str], changed: Collection[str]
) -> Schema:
    old = stored.schema
    assert old is not None
    types = {}
    for name, now in code.schema.types.items():
        then = old.types.get(name)
        if then is None:
            types[name] = now
        elif name not in accepted and (
            then.kind != "event" or stored.since or stored_name(name, then.version) in stored.written
        ):
            types[name] = now.after(then)
        else:
            types[name] = replace(now, earlier=then.earlier)
    for name, then in old.types.items():
        if name not in types and code.readable.has(name):
            types[name] = then
    models = dict(code.schema.models) | {name: old.models[name] for name in changed}
    return replace(code.schema, types=types, models=models)


def _changed_models(old: Schema, code: Code) -> frozenset[str]:
    """The models that other code filled, though version and tables are the same."""
    return frozenset(
        name
        for name, now in code.schema.models.items()
        if name not in code.by_code
        and (then := old.models.get(name)) is not None
        and then.code != now.code
        and then._replace(code=now.code) == now
    )
