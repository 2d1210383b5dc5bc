"""Which read models a replica holds, at which version and up to which position. The opener's thread.

Database `meta` holds the header and, for every model, `model/<name>` (its fingerprint and its databases, packed)
and `checkpoint/<name>` (eight bytes, big-endian). A model's databases are `<name>@<version>/<table>` for the rows
and `<name>@<version>/<table>/<index>` for the entries of an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import lmdb
import msgpack

from storage.environment import (
    META_DB,
    Header,
    open_environment,
    read_header,
    translate,
    write_header,
)
from storage.replica_files import STATE_FILES
from storage.table_access import TableHandle
from storage.table_schema import ModelSchema, TableSchema

_MODEL = b"model/"
_CHECKPOINT = b"checkpoint/"
_MANY_DBS = 4096  # for the databases of models that are to go; each costs a little in every transaction


def checkpoint_key(model: str) -> bytes:
    """Where the checkpoint of a model is in `meta`."""
    return _CHECKPOINT + model.encode()


def open_replica(path: Path, map_size: int, max_dbs: int = _MANY_DBS) -> lmdb.Environment:
    """Open the environment of a replica, without fsync. Raises what `open_environment` does."""
    return open_environment(path, map_size=map_size, max_dbs=max_dbs, sync=False, beside=STATE_FILES)


def reason_to_reset(path: Path, map_size: int, history_id: str, log_head: int) -> str | None:
    """Why the database at `path` cannot go on with this log, or None. Changes nothing.

    Raises NotAStore for another program's environment, NewerFormat for a newer replica, DamagedStore.
    """
    environment = open_replica(path, map_size)
    try:
        header = read_header(environment, "replica")
        if header is None:
            return None
        if header.history_id != history_id:
            return f"it belongs to history {header.history_id}, the log to {history_id}"
        ahead = {name: at for name, at in _stored_checkpoints(environment).items() if at > log_head}
    except lmdb.Error as error:
        raise translate(error, f"reading {path}") from error
    finally:
        environment.close()
    if ahead:
        name, at = max(ahead.items(), key=lambda item: item[1])
        return f"its model {name!r} is at position {at}, ahead of the log, which ends at {log_head}"
    return None


def adopt_models(path: Path, map_size: int, history_id: str, models: Sequence[ModelSchema]) -> None:
    """Make the replica hold just these models: drop the tables of others and of those that were otherwise."""
    environment = open_replica(path, map_size)
    try:
        with environment.begin(write=True) as txn:
            meta = environment.open_db(META_DB, txn=txn)
            if txn.stat(meta)["entries"] == 0:
                write_header(txn, meta, Header.new("replica", history_id))
            wanted = {model.name: model.fingerprint() for model in models}
            for key, raw in _below(txn, meta, _MODEL):
                name = key[len(_MODEL) :].decode()
                fingerprint, databases = msgpack.unpackb(raw)
                if wanted.get(name) == fingerprint:
                    continue
                for database in databases:
                    txn.drop(environment.open_db(database.encode(), txn=txn))
                txn.delete(key, b"", meta)
                txn.delete(checkpoint_key(name), b"", meta)
            for model in models:
                record = [wanted[model.name], database_names(model)]
                txn.put(_MODEL + model.name.encode(), msgpack.packb(record), db=meta)
    except lmdb.Error as error:
        raise translate(error, f"preparing the tables of {path}", path) from error
    finally:
        environment.close()


def database_names(model: ModelSchema) -> list[str]:
    """The names of all databases of a model."""
    return [
        name for table in model.tables for name in (_rows_name(model, table), *_index_names(model, table))
    ]


def open_table(
    environment: lmdb.Environment, txn: lmdb.Transaction[bytes], model: ModelSchema, table: TableSchema
) -> TableHandle:
    """Open the databases of a table, making those that are missing."""
    opened = [
        environment.open_db(name.encode(), txn=txn)
        for name in (_rows_name(model, table), *_index_names(model, table))
    ]
    where = f"{model.name}.{table.name}"
    return TableHandle(table, where, opened[0], dict(zip(table.indexes, opened[1:], strict=True)))


def _rows_name(model: ModelSchema, table: TableSchema) -> str:
    return f"{model.name}@{model.version}/{table.name}"


def _index_names(model: ModelSchema, table: TableSchema) -> list[str]:
    return [f"{_rows_name(model, table)}/{index.name}" for index in table.indexes]


def _stored_checkpoints(environment: lmdb.Environment) -> dict[str, int]:
    with environment.begin() as txn:
        meta = environment.open_db(META_DB, txn=txn, create=False)
        found = _below(txn, meta, _CHECKPOINT)
    return {key[len(_CHECKPOINT) :].decode(): int.from_bytes(raw) for key, raw in found}


def _below(txn: lmdb.Transaction[bytes], db: lmdb._Database, prefix: bytes) -> list[tuple[bytes, bytes]]:
    with txn.cursor(db) as cursor:
        if not cursor.set_range(prefix):
            return []
        return list(takewhile(lambda item: item[0].startswith(prefix), cursor))
