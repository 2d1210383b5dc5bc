"""Prepares the file of a replica: whether it can be used, and its builds. The opener's thread."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import lmdb
import msgpack

from storage.errors import DamagedStore
from storage.files.damage import damaged_records
from storage.files.environment import ENGINE, open_environment, translate
from storage.files.header import META_DB, Header, read_header, write_header
from storage.files.opening_resources import OpeningResources
from storage.log.history import History, unpack_checkpoint
from storage.replica.builds import (
    CHECKPOINT,
    Build,
    Layout,
    checkpoint_key,
    engine_checkpoint_key,
    plan_layout,
    unpack_build,
)
from storage.replica.catalog import (
    ACTIVE,
    AGAIN,
    BUILD,
    GONE,
    MODEL,
    database_names,
    databases_of,
    stored_checkpoints,
    write_active,
    write_build,
)
from storage.replica.engine_builds import delete_other_engine_stores
from storage.replica.files import SIBLINGS
from storage.replica.open_builds import spare_databases
from storage.tables.access import below
from storage.tables.schema import ModelSchema

__all__ = ["Inspection", "inspect_replica", "needed_databases", "open_replica_environment", "prepare_builds"]


class Inspection(NamedTuple):
    """Why a replica cannot be used, or None, and how many databases its file needs to be opened."""

    reason: str | None
    databases: int


def open_replica_environment(path: Path, map_size: int | None, max_dbs: int) -> lmdb.Environment:
    """Open the environment of a replica, without fsync. Raises what `open_environment` raises."""
    return open_environment(path, map_size=map_size, max_dbs=max_dbs, sync=False, siblings=SIBLINGS)


def inspect_replica(
    path: Path, history: History, models: Sequence[ModelSchema], resources: OpeningResources
) -> Inspection:
    """Whether the database at `path` can be used with this log, and what it needs. Changes nothing.

    Call it only while nobody writes to it: it takes no reader slot. An environment that can write takes
    2 MiB of memory, which malloc may not give back, so it is opened once. `resources` releases the
    environment if an interrupt leaves it open. Raises NotAStore for another program's environment,
    NewerFormat for a newer replica, DamagedStore.
    """
    opened = resources.slot(lmdb.Environment.close)
    try:
        opened.resource = environment = lmdb.open(
            os.fspath(path), readonly=True, lock=False, create=False, max_dbs=1, lib_version=ENGINE
        )
        header = read_header(environment, "replica")
        if header is None:
            return Inspection(None, needed_databases(models, history))
        if header.history_id != history.id:
            return Inspection(
                f"it belongs to history {header.history_id}, the log to {history.id}",
                needed_databases(models, history),
            )
        with damaged_records(str(path), AGAIN), environment.begin() as txn:
            meta = environment.open_db(META_DB, txn=txn, create=False)
            stored = [
                (key[len(CHECKPOINT) :].decode().partition("@")[0], *unpack_checkpoint(raw))
                for key, raw in below(txn, meta, CHECKPOINT)
            ]
            planned = _plan(txn, meta, history, models)
            databases = _number_of_databases(planned.layout) + sum(map(len, planned.outdated.values()))
    except lmdb.Error as error:
        raise translate(error, f"reading {path}") from error
    finally:
        opened.release()
    stored.sort(key=lambda item: -item[1])
    reasons = (history.reason_against(model, position, digest) for model, position, digest in stored)
    return Inspection(next(filter(None, reasons), None), databases)


def needed_databases(models: Sequence[ModelSchema], history: History) -> int:
    """How many databases a new replica needs. Raises InvalidSchema for two models of one name and version."""
    return _number_of_databases(plan_layout((), {}, models, frozenset(), history.corrected))


def _number_of_databases(layout: Layout) -> int:
    """Those of its builds, `meta`, and space for builds that begin while the replica is open."""
    return 1 + spare_databases(layout) + sum(len(database_names(build)) for build in layout.builds.values())


class _Planned(NamedTuple):
    """The layout to make of what is stored, the keys of builds with a record, and what is not in it.

    `outdated` has for the key of each record that goes the databases that it names.
    """

    layout: Layout
    recorded: Collection[str]
    active: Mapping[str, str]
    outdated: Mapping[bytes, list[str]]


def _plan(
    txn: lmdb.Transaction[bytes], meta: lmdb._Database, history: History, models: Sequence[ModelSchema]
) -> _Planned:
    records = {key[len(BUILD) :].decode(): raw for key, raw in below(txn, meta, BUILD)}
    active = {key[len(ACTIVE) :].decode(): raw.decode() for key, raw in below(txn, meta, ACTIVE)}
    checkpoints = stored_checkpoints(txn, meta)
    stored = {key: build for key, raw in records.items() if (build := unpack_build(key, raw))}
    empty = frozenset(
        key
        for key, build in stored.items()
        if history.head == 0 or (build.stored_schema.engine == "lmdb" and not checkpoints.get(key))
    )
    layout = plan_layout(stored.values(), active, models, empty, history.corrected)
    outdated = {
        key: databases_of(prefix, msgpack.unpackb(raw))
        for prefix in (MODEL, GONE, BUILD)
        for key, raw in below(txn, meta, prefix)
        if prefix != BUILD or key[len(prefix) :].decode() not in layout.builds
    }
    return _Planned(layout, records.keys(), active, outdated)


def prepare_builds(
    path: Path, environment: lmdb.Environment, history: History, models: Sequence[ModelSchema]
) -> Layout:
    """Make the replica have the builds that these models need, and no others; returns them.

    It writes the records of new builds, but does not create their tables.
    """
    try:
        with environment.begin(write=True) as txn:
            meta = environment.open_db(META_DB, txn=txn)
            if txn.stat(meta)["entries"] == 0:
                write_header(txn, meta, Header.new("replica", history.id))
            layout, recorded, active, outdated = _plan(txn, meta, history, models)
            for key, databases in outdated.items():
                for database in databases:
                    txn.drop(environment.open_db(database.encode(), txn=txn))
                name = key.partition(b"/")[2].decode()
                txn.delete(key, b"", meta)
                txn.delete(checkpoint_key(name), b"", meta)
                txn.delete(engine_checkpoint_key(name), b"", meta)
            for build in layout.builds.values():
                if build.key not in recorded:
                    _check_room(txn, path, build)
                write_build(txn, meta, build)
            for name in active.keys() - layout.active.keys():
                txn.delete(ACTIVE + name.encode(), b"", meta)
            for name, build_key in layout.active.items():
                write_active(txn, meta, name, build_key)
        delete_other_engine_stores(path, layout.builds.keys() & recorded)
        return layout
    except lmdb.Error as error:
        raise translate(error, f"preparing the tables of {path}", path) from error


def _check_room(txn: lmdb.Transaction[bytes], path: Path, build: Build) -> None:
    """Raise DamagedStore if a new build would take over tables whose own record is lost."""
    with txn.cursor() as cursor:
        for name in database_names(build):
            if cursor.set_key(name.encode()):
                raise DamagedStore(f"{path} has tables {name!r} but no record of their build; {AGAIN}")
