"""onewriter in the mixes: writes are commands, reads go through a query actor or a view."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from actors import System
from benchmarks.growth.biglog import FILLING_TIMEOUT, Fact, write_log
from benchmarks.mixes.client import Client, MixPeer, Record
from benchmarks.mixes.domain import (
    IncreaseField,
    InsertRecord,
    ReadRecord,
    RecordInserted,
    WriteField,
    records,
    table,
    ycsb,
)
from benchmarks.peers.onewriter import Workers

REPLICAS = 2
QUERY, VIEW = "query", "view"


class OnewriterMix(MixPeer):
    """A system with replicas in threads or in processes."""

    ways = (QUERY, VIEW)
    promises = (
        "every write is a command, decided on the record's state and kept as an event with its id; an "
        "fsync a group of commands before any reply; reads show one moment of a replica, which may be behind "
        "the last write"
    )

    def __init__(self, workers: Workers = "thread", copy_of: OnewriterMix | None = None) -> None:
        """`copy_of` has loaded the same records already and is not open."""
        self.key = f"onewriter-{workers}"
        self.label = f"onewriter, {'processes' if workers == 'process' else 'threads'}"
        self._workers = workers
        self._copy_of = copy_of
        self._path: Path | None = None
        self._system: System | None = None

    def load(self, folder: Path, records: Iterable[Record]) -> None:
        self._path = folder / "store"
        if self._copy_of is not None:
            assert self._copy_of._path is not None
            shutil.copytree(self._copy_of._path, self._path)
            return
        write_log(self._path, ycsb, _facts(records))
        with System.open(self._path, ycsb, replicas=REPLICAS) as system:
            system.wait_applied(timeout=FILLING_TIMEOUT)

    def open(self) -> None:
        assert self._path is not None
        self._system = System.open(self._path, ycsb, replicas=REPLICAS, workers=self._workers)
        self.settle()

    def client(self, way: str) -> Client:
        assert self._system is not None
        return _Views(self._system) if way == VIEW else _Queries(self._system)

    def settle(self) -> None:
        assert self._system is not None
        self._system.wait_applied(timeout=FILLING_TIMEOUT)

    def written(self) -> int:
        assert self._system is not None
        return self._system.position

    def close(self) -> None:
        if self._system is not None:
            self._system.close()


def _facts(records: Iterable[Record]) -> Iterable[Fact]:
    for key, fields in records:
        yield f"record-{key}", 1, RecordInserted(key, fields), InsertRecord.__name__


class _Queries(Client):
    def __init__(self, system: System) -> None:
        self._execute = system.execute
        self._query = system.query

    def read(self, key: str) -> dict[str, Any] | None:
        row: dict[str, Any] | None = self._query(ReadRecord(key))
        return row

    def update(self, key: str, field: int, value: str) -> None:
        self._execute(WriteField(key, field, value))

    def insert(self, key: str, fields: tuple[str, ...]) -> None:
        self._execute(InsertRecord(key, fields))

    def modify(self, key: str, field: int) -> None:
        self._execute(IncreaseField(key, field))


class _Views(_Queries):
    """A view for each read, as every other peer has a transaction for each."""

    def __init__(self, system: System) -> None:
        super().__init__(system)
        self._view = system.view

    def read(self, key: str) -> dict[str, Any] | None:
        with self._view(table) as view:
            return view[records].get(key)
