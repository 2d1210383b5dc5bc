"""The catalog of a replica: its builds, which of them are active, and their positions. The opener's thread.

Database `meta` holds the header and these records:

- `build/<key>` for every build: its description, packed;
- `active/<model>`: the key of the active build;
- `checkpoint/<key>` for builds in LMDB: eight bytes, big-endian, then the event's digest and, if replicas
  share their work, that of the rows;
- `elsewhere/<key>` for builds of other engines: their checkpoint at this commit;
- `gone/<key>` for builds that were dropped while the replica was open: the names of their databases, packed.
  They are emptied immediately, and used for further builds, or removed when the replica is opened next.

A build's databases are `<key>/<table>` for the rows and `<key>/<table>/<index>` for the entries of an index,
or emptied ones that its description names.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import lmdb
import msgpack

from storage.log.history import unpack_checkpoint, unpack_content
from storage.replica.builds import (
    CHECKPOINT,
    Build,
    checkpoint_key,
    engine_checkpoint_key,
    pack_build,
    unpack_build,
)
from storage.tables.access import TableHandle, below
from storage.tables.schema import TableSchema

BUILD = b"build/"
ACTIVE = b"active/"
GONE = b"gone/"
MODEL = b"model/"  # the records of replicas before there were builds
AGAIN = "it is filled from the log again"


# -- records -------------------------------------------------------------------------------------------------
def write_build(txn: lmdb.Transaction[bytes], meta: lmdb._Database, build: Build) -> None:
    """Record that the replica has this build."""
    txn.put(BUILD + build.key.encode(), pack_build(build, database_names(build)), db=meta)


def write_active(txn: lmdb.Transaction[bytes], meta: lmdb._Database, model: str, build: str) -> None:
    """Record which build of a model is active."""
    txn.put(active_key(model), build.encode(), db=meta)


def write_retired(txn: lmdb.Transaction[bytes], meta: lmdb._Database, build: Build) -> None:
    """Record that a build was dropped and its databases are to be removed."""
    txn.delete(BUILD + build.key.encode(), b"", meta)
    txn.delete(checkpoint_key(build.key), b"", meta)
    txn.delete(engine_checkpoint_key(build.key), b"", meta)
    txn.put(GONE + build.key.encode(), msgpack.packb(database_names(build)), db=meta)


def write_reused(txn: lmdb.Transaction[bytes], meta: lmdb._Database, databases: Collection[str]) -> None:
    """Record that these databases of dropped builds now belong to another build."""
    for key, raw in below(txn, meta, GONE):
        left = [name for name in msgpack.unpackb(raw) if name not in databases]
        if left:
            txn.put(key, msgpack.packb(left), db=meta)
        else:
            txn.delete(key, b"", meta)


def stored_checkpoints(txn: lmdb.Transaction[bytes], meta: lmdb._Database) -> dict[str, int]:
    """The checkpoints of the builds in LMDB that have one."""
    return {
        key[len(CHECKPOINT) :].decode(): unpack_checkpoint(raw)[0]
        for key, raw in below(txn, meta, CHECKPOINT)
    }


def stored_contents(txn: lmdb.Transaction[bytes], meta: lmdb._Database) -> dict[str, int]:
    """The contents of the builds in LMDB whose checkpoint has one."""
    return {
        key[len(CHECKPOINT) :].decode(): content
        for key, raw in below(txn, meta, CHECKPOINT)
        if (content := unpack_content(raw)) is not None
    }


def active_key(model: str) -> bytes:
    """The key of the record that says which build of a model is active."""
    return ACTIVE + model.encode()


def find_active(
    txn: lmdb.Transaction[bytes], meta: lmdb._Database, models: Collection[str]
) -> dict[str, Build]:
    """The active builds of these models, as far as the replica has one, without their code."""
    builds = {}
    for model in models:
        key = txn.get(active_key(model), b"", meta)
        raw = txn.get(BUILD + key, b"", meta)
        build = unpack_build(key.decode(), raw) if raw else None
        if build is not None:
            builds[model] = build
    return builds


# -- databases -----------------------------------------------------------------------------------------------
def database_names(build: Build) -> list[str]:
    """The names of all databases of a build."""
    return [name for table in build.stored_schema.tables for name in _names(build, table)]


def open_table(
    environment: lmdb.Environment,
    txn: lmdb.Transaction[bytes] | None,
    build: Build,
    table: TableSchema,
    *,
    make: bool = False,
) -> TableHandle:
    """Open the databases of a table; create missing ones if `make` is true."""
    opened = [environment.open_db(name.encode(), txn=txn, create=make) for name in _names(build, table)]
    where = f"{build.model}.{table.name}"
    return TableHandle(table, where, opened[0], dict(zip(table.indexes, opened[1:], strict=True)))


def databases_of(prefix: bytes, record: Any) -> list[str]:
    """The databases that a record with this prefix names."""
    if prefix == MODEL:
        record = record[1]
    elif prefix == BUILD:
        record = record["databases"]
    return list(record)


def _names(build: Build, table: TableSchema) -> list[str]:
    """The names of the databases for a table's rows and for the entries of its indexes."""
    rows = f"{build.key}/{table.name}"
    reused = dict(build.reused_databases)
    names = [rows, *(f"{rows}/{index.name}" for index in table.indexes)]
    return [reused.get(name, name) for name in names]
