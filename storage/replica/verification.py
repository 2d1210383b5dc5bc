"""Verifies a replica that nobody has open: with its log, with the digests of its rows, or with another one.

Any thread. Its pages are sound: LMDB maps them. Nothing is written.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import lmdb

from storage.errors import StorageError
from storage.files.damage import damaged_records
from storage.files.environment import ENGINE
from storage.files.error_translation import translate
from storage.files.header import META_DB, read_header
from storage.log.history import History, unpack_checkpoint, unpack_content
from storage.replica.build_changes import code_of, content_of
from storage.replica.builds import Build, checkpoint_key
from storage.replica.catalog import ACTIVE, AGAIN, find_active, open_table
from storage.replica.engine_builds import database_file
from storage.tables.access import TableHandle, below, each_row

__all__ = ["ModelCheck", "compare_replicas", "verify_replica"]

MOST_DATABASES = 8_192


class ModelCheck(NamedTuple):
    """A model of a replica: where it is, and what is wrong, as sentences.

    `rows` is the number of rows that were compared, None if they were not: for want of a digest, for example.
    `engine` is what keeps them.
    """

    model: str
    position: int
    engine: str
    rows: int | None
    findings: list[str]


class _Replica(NamedTuple):
    """A replica that is being read; `active` are its active builds by model."""

    path: Path
    environment: lmdb.Environment
    transaction: lmdb.Transaction[bytes]
    meta: lmdb._Database
    history_id: str
    active: dict[str, Build]

    def checkpoint(self, build: Build) -> bytes:
        found: bytes = self.transaction.get(checkpoint_key(build.key), bytes(8), self.meta)
        return found

    def tables(self, build: Build) -> list[TableHandle]:
        return [
            open_table(self.environment, self.transaction, build, table)
            for table in build.stored_schema.tables
        ]


@contextmanager
def _opened(path: Path) -> Iterator[_Replica]:
    try:
        with (
            damaged_records(f"the replica {path}", AGAIN),
            closing(
                lmdb.open(
                    os.fspath(path),
                    readonly=True,
                    lock=False,
                    create=False,
                    max_dbs=MOST_DATABASES,
                    lib_version=ENGINE,
                )
            ) as environment,
        ):
            header = read_header(environment, "replica")
            if header is None:
                raise StorageError(f"the replica {path} is empty; {AGAIN}")
            with environment.begin() as transaction:
                meta = environment.open_db(META_DB, txn=transaction, create=False)
                models = [key[len(ACTIVE) :].decode() for key, _ in below(transaction, meta, ACTIVE)]
                active = find_active(transaction, meta, models)
                yield _Replica(path, environment, transaction, meta, header.history_id, active)
    except lmdb.Error as error:
        raise translate(error, f"verifying the replica {path}") from error


def verify_replica(path: Path, history: History) -> list[ModelCheck]:
    """Compare a replica with its log, and the rows of its models of tables with the digests that it keeps.

    Raises StorageError if it can't be read, or belongs to another history.
    """
    found = []
    with _opened(path) as replica:
        if replica.history_id != history.id:
            raise StorageError(
                f"it belongs to history {replica.history_id}, the log to {history.id}; {AGAIN}"
            )
        for model, build in replica.active.items():
            stored = replica.checkpoint(build)
            position, digest = unpack_checkpoint(stored)
            findings = [reason for reason in [history.reason_against(model, position, digest)] if reason]
            engine = build.stored_schema.engine
            rows = None
            wanted = unpack_content(stored)
            if engine == "lmdb" and wanted is not None:
                tables = replica.tables(build)
                content = content_of(replica.transaction, tables)
                rows = sum(replica.transaction.stat(table.rows)["entries"] for table in tables)
                if content != wanted:
                    findings.append(
                        f"the rows of model {model!r} are not those that were written: their digest is "
                        f"{content:x}, and {wanted:x} is stored"
                    )
            found.append(ModelCheck(model, position, engine, rows, findings))
    return found


def compare_replicas(path: Path, other: Path) -> list[ModelCheck]:
    """Compare the rows of a replica with those of another one, `other`, that was filled by itself.

    Only models are compared that are at the same position in both. Raises StorageError.
    """
    found = []
    with _opened(path) as replica, _opened(other) as filled:
        for model, build in replica.active.items():
            twin = filled.active.get(model)
            position = unpack_checkpoint(replica.checkpoint(build))[0]
            engine = build.stored_schema.engine
            if twin is None or code_of(twin.key) != code_of(build.key):
                found.append(ModelCheck(model, position, engine, None, []))
                continue
            if engine == "lmdb" and position == unpack_checkpoint(filled.checkpoint(twin))[0]:
                found.append(_compare_tables(replica, build, filled, twin, position))
            elif engine == "sqlite":
                found.append(_compare_databases(path, build, other, twin))
            else:
                found.append(ModelCheck(model, position, engine, None, []))
    return found


def _compare_databases(path: Path, build: Build, other: Path, twin: Build) -> ModelCheck:
    from storage.engines.sqlite.comparison import differing_rows

    try:
        compared = differing_rows(database_file(path, build), database_file(other, twin))
    except sqlite3.Error as error:
        return ModelCheck(build.model, 0, "sqlite", None, [f"{build.model} can't be read: {error}"])
    if compared is None:
        return ModelCheck(build.model, 0, "sqlite", None, [])
    rows, differ = compared
    findings = [
        f"{count:,} rows of {build.model}.{table} are not what the log gives"
        for table, count in differ.items()
    ]
    return ModelCheck(build.model, 0, "sqlite", rows, findings)


def _compare_tables(
    replica: _Replica, build: Build, filled: _Replica, twin: Build, position: int
) -> ModelCheck:
    rows = 0
    findings: list[str] = []
    for mine, theirs in zip(replica.tables(build), filled.tables(twin), strict=True):
        pairs = _paired(each_row(replica.transaction, mine.rows), each_row(filled.transaction, theirs.rows))
        wrong = 0
        for row, other in pairs:
            wrong += row != other
            rows += row is not None
        if wrong:
            findings.append(
                f"{wrong:,} rows of {build.model}.{mine.schema.name} are not what the log gives at position "
                f"{position}"
            )
    return ModelCheck(build.model, position, "lmdb", rows, findings)


def _paired(
    rows: Iterator[tuple[bytes, bytes]], others: Iterator[tuple[bytes, bytes]]
) -> Iterator[tuple[bytes | None, bytes | None]]:
    """The rows of two tables by key, those of one key together; None where one table lacks it."""
    one, two = next(rows, None), next(others, None)
    while one is not None or two is not None:
        if two is None or (one is not None and one[0] < two[0]):
            assert one is not None
            yield one[1], None
            one = next(rows, None)
        elif one is None or two[0] < one[0]:
            yield None, two[1]
            two = next(others, None)
        else:
            yield one[1], two[1]
            one, two = next(rows, None), next(others, None)
