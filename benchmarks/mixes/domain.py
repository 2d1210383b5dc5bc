"""YCSB's table as a domain: a record is an aggregate of ten fields, and a read model has a row for each.

Deciders run on the command handler's thread, projections on each replica's, queries on a query actor's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from actors import Domain, Rejected

ycsb = Domain("ycsb")

FIELDS = tuple(f"field{number}" for number in range(10))
WIDTH = 10
"""Digits of a field."""

Row = dict[str, Any]


@ycsb.state(stream="record-{key}")
class Record:
    key: str
    fields: tuple[str, ...]


@ycsb.event(Record)
class RecordInserted:
    key: str
    fields: tuple[str, ...]


@ycsb.event(Record)
class FieldWritten:
    key: str
    field: int
    value: str


@ycsb.command(Record)
class InsertRecord:
    key: str
    fields: tuple[str, ...]


@ycsb.command(Record)
class WriteField:
    key: str
    field: int
    value: str


@ycsb.command(Record)
class IncreaseField:
    key: str
    field: int


@ycsb.decide
def insert_record(record: Record | None, command: InsertRecord) -> Iterator[RecordInserted]:
    if record is not None:
        raise Rejected(f"{command.key} is there already", code="record.exists")
    yield RecordInserted(command.key, command.fields)


@ycsb.decide
def write_field(record: Record | None, command: WriteField) -> Iterator[FieldWritten]:
    if record is None:
        raise Rejected(f"no record {command.key}", code="record.unknown")
    yield FieldWritten(command.key, command.field, command.value)


@ycsb.decide
def increase_field(record: Record | None, command: IncreaseField) -> Iterator[FieldWritten]:
    if record is None:
        raise Rejected(f"no record {command.key}", code="record.unknown")
    yield FieldWritten(command.key, command.field, increased(record.fields[command.field]))


def increased(value: str) -> str:
    """What a read-modify-write makes of a field: a lost one would be seen in the sum."""
    return f"{(int(value) + 1) % 10**WIDTH:0{WIDTH}}"


@ycsb.evolve
def inserted(record: None, event: RecordInserted) -> Record:
    return Record(event.key, event.fields)


@ycsb.evolve
def written(record: Record, event: FieldWritten) -> Record:
    fields = record.fields
    return Record(record.key, (*fields[: event.field], event.value, *fields[event.field + 1 :]))


table = ycsb.read_model("table", version=1)
records = table.table("records", key="key")


@table.on
def on_inserted(event: RecordInserted, tables: Any) -> None:
    tables[records].put({"key": event.key, **dict(zip(FIELDS, event.fields, strict=True))})


@table.on
def on_written(event: FieldWritten, tables: Any) -> None:
    tables[records].update(event.key, **{FIELDS[event.field]: event.value})


@ycsb.query(reads=[table])
class ReadRecord:
    key: str

    def run(self, view: Any) -> Row | None:
        row: Row | None = view[records].get(self.key)
        return row
