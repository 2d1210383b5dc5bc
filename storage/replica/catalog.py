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

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import lmdb
import msgpack

from storage.errors import DamagedStore
from storage.files.damage import damaged_records
from storage.files.environment import open_environment, translate
from storage.files.header import META_DB, Header, read_header, write_header
from storage.files.opening_resources import OpeningResources
from storage.log.history import History, unpack_checkpoint, unpack_content
from storage.replica.builds import (
    CHECKPOINT,
    Build,
    Layout,
    checkpoint_key,
    engine_checkpoint_key,
    pack_build,
    plan_layout,
    unpack_build,
)
from storage.replica.engine_builds import delete_other_engine_stores
from storage.replica.files import SIBLINGS
from storage.tables.access import TableHandle, below
from storage.tables.schema import ModelSchema, TableSchema

_BUILD = b"build/"
_ACTIVE = b"active/"
_GONE = b"gone/"
_MODEL = b"model/"  # the records of replicas before there were builds
AGAIN = "it is filled from the log again"
_MANY_DBS = 4096  # for the databases of builds to be dropped; each costs a little in every transaction


def open_replica_environment(path: Path, map_size: int | None, max_dbs: int = _MANY_DBS) -> lmdb.Environment:
    """Open the environment of a replica, without fsync. Raises what `open_environment` raises."""
    return open_environment(path, map_size=map_size, max_dbs=max_dbs, sync=False, siblings=SIBLINGS)


def reason_to_reset(
    path: Path, map_size: int | None, history: History, resources: OpeningResources
) -> str | None:
    """Why the database at `path` cannot be used with this log, or None. Changes nothing.

    `resources` releases the environment if an interrupt leaves it open. Raises NotAStore for another
    program's environment, NewerFormat for a newer replica, DamagedStore.
    """
    opened = resources.slot(lmdb.Environment.close)
    try:
        opened.resource = environment = open_replica_environment(path, map_size)
        header = read_header(environment, "replica")
        if header is None:
            return None
        if header.history_id != history.id:
            return f"it belongs to history {header.history_id}, the log to {history.id}"
        with damaged_records(str(path), AGAIN), environment.begin() as txn:
            meta = environment.open_db(META_DB, txn=txn, create=False)
            stored = [
                (key[len(CHECKPOINT) :].decode().partition("@")[0], *unpack_checkpoint(raw))
                for key, raw in below(txn, meta, CHECKPOINT)
            ]
    except lmdb.Error as error:
        raise translate(error, f"reading {path}") from error
    finally:
        opened.release()
    stored.sort(key=lambda item: -item[1])
    reasons = (history.reason_against(model, position, digest) for model, position, digest in stored)
    return next(filter(None, reasons), None)


def prepare_builds(
    path: Path,
    map_size: int | None,
    history: History,
    models: Sequence[ModelSchema],
    resources: OpeningResources,
) -> Layout:
    """Make the replica have the builds that these models need, and no others; returns them.

    It writes the records of new builds, but does not create their tables. `resources` releases the
    environment if an interrupt leaves it open.
    """
    opened = resources.slot(lmdb.Environment.close)
    try:
        opened.resource = environment = open_replica_environment(path, map_size)
        with environment.begin(write=True) as txn:
            meta = environment.open_db(META_DB, txn=txn)
            if txn.stat(meta)["entries"] == 0:
                write_header(txn, meta, Header.new("replica", history.id))
            records = {key[len(_BUILD) :].decode(): raw for key, raw in below(txn, meta, _BUILD)}
            active = {key[len(_ACTIVE) :].decode(): raw.decode() for key, raw in below(txn, meta, _ACTIVE)}
            checkpoints = stored_checkpoints(txn, meta)
            stored = {key: build for key, raw in records.items() if (build := unpack_build(key, raw))}
            empty = frozenset(
                key
                for key, build in stored.items()
                if history.head == 0 or (build.stored_schema.engine == "lmdb" and not checkpoints.get(key))
            )
            layout = plan_layout(stored.values(), active, models, empty, history.corrected)
            for prefix in (_MODEL, _GONE, _BUILD):
                for key, raw in below(txn, meta, prefix):
                    name = key[len(prefix) :].decode()
                    if prefix == _BUILD and name in layout.builds:
                        continue
                    for database in _databases(prefix, msgpack.unpackb(raw)):
                        txn.drop(environment.open_db(database.encode(), txn=txn))
                    txn.delete(key, b"", meta)
                    txn.delete(checkpoint_key(name), b"", meta)
                    txn.delete(engine_checkpoint_key(name), b"", meta)
            for build in layout.builds.values():
                if build.key not in records:
                    _check_room(txn, path, build)
                write_build(txn, meta, build)
            for name in active.keys() - layout.active.keys():
                txn.delete(_ACTIVE + name.encode(), b"", meta)
            for name, build_key in layout.active.items():
                write_active(txn, meta, name, build_key)
        delete_other_engine_stores(path, layout.builds.keys() & records.keys())
        return layout
    except lmdb.Error as error:
        raise translate(error, f"preparing the tables of {path}", path) from error
    finally:
        opened.release()


def _check_room(txn: lmdb.Transaction[bytes], path: Path, build: Build) -> None:
    """Raise DamagedStore if a new build would take over tables whose own record is lost."""
    with txn.cursor() as cursor:
        for name in database_names(build):
            if cursor.set_key(name.encode()):
                raise DamagedStore(f"{path} has tables {name!r} but no record of their build; {AGAIN}")


# -- records -------------------------------------------------------------------------------------------------
def write_build(txn: lmdb.Transaction[bytes], meta: lmdb._Database, build: Build) -> None:
    """Record that the replica has this build."""
    txn.put(_BUILD + build.key.encode(), pack_build(build, database_names(build)), db=meta)


def write_active(txn: lmdb.Transaction[bytes], meta: lmdb._Database, model: str, build: str) -> None:
    """Record which build of a model is active."""
    txn.put(active_key(model), build.encode(), db=meta)


def write_retired(txn: lmdb.Transaction[bytes], meta: lmdb._Database, build: Build) -> None:
    """Record that a build was dropped and its databases are to be removed."""
    txn.delete(_BUILD + build.key.encode(), b"", meta)
    txn.delete(checkpoint_key(build.key), b"", meta)
    txn.delete(engine_checkpoint_key(build.key), b"", meta)
    txn.put(_GONE + build.key.encode(), msgpack.packb(database_names(build)), db=meta)


def write_reused(txn: lmdb.Transaction[bytes], meta: lmdb._Database, databases: Collection[str]) -> None:
    """Record that these databases of dropped builds now belong to another build."""
    for key, raw in below(txn, meta, _GONE):
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
    return _ACTIVE + model.encode()


def find_active(
    txn: lmdb.Transaction[bytes], meta: lmdb._Database, models: Collection[str]
) -> dict[str, Build]:
    """The active builds of these models, as far as the replica has one, without their code."""
    builds = {}
    for model in models:
        key = txn.get(active_key(model), b"", meta)
        raw = txn.get(_BUILD + key, b"", meta)
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


def _databases(prefix: bytes, record: Any) -> list[str]:
    """The databases that a record with this prefix names."""
    if prefix == _MODEL:
        record = record[1]
    elif prefix == _BUILD:
        record = record["databases"]
    return list(record)


def _names(build: Build, table: TableSchema) -> list[str]:
    """The names of the databases for a table's rows and for the entries of its indexes."""
    rows = f"{build.key}/{table.name}"
    reused = dict(build.reused_databases)
    names = [rows, *(f"{rows}/{index.name}" for index in table.indexes)]
    return [reused.get(name, name) for name in names]
