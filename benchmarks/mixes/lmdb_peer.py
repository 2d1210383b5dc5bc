"""Raw LMDB in the mixes: one tree of msgpack maps, a transaction an operation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lmdb
import msgpack

from benchmarks.mixes.client import Client, MixPeer, Record
from benchmarks.mixes.domain import FIELDS, increased

MAP_SIZE = 1 << 36


class LmdbMix(MixPeer):
    """An environment with one tree; LMDB itself has writers take turns."""

    key = "lmdb"
    label = "raw LMDB"
    promises = (
        "an fsync a write; reads show the last committed write; rows alone, without events, ids or copies"
    )

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._environment: lmdb.Environment | None = None

    def load(self, folder: Path, records: Iterable[Record]) -> None:
        self._folder = folder
        self.open()
        assert self._environment is not None
        packed = ((key.encode(), msgpack.packb(_row(key, fields))) for key, fields in records)
        with self._environment.begin(write=True) as transaction, transaction.cursor() as cursor:
            cursor.putmulti(packed, append=True)
        self._environment.close()

    def open(self) -> None:
        self._environment = lmdb.open(str(self._folder), map_size=MAP_SIZE, lib_version=0)

    def client(self, way: str) -> Client:  # noqa: ARG002
        assert self._environment is not None
        return _Client(self._environment)

    def close(self) -> None:
        if self._environment is not None:
            self._environment.close()


def _row(key: str, fields: tuple[str, ...]) -> dict[str, str]:
    return {"key": key, **dict(zip(FIELDS, fields, strict=True))}


class _Client(Client):
    def __init__(self, environment: lmdb.Environment) -> None:
        self._begin = environment.begin

    def read(self, key: str) -> dict[str, Any] | None:
        with self._begin() as transaction:
            stored = transaction.get(key.encode())
        row: dict[str, Any] | None = None if stored is None else msgpack.unpackb(stored)
        return row

    def update(self, key: str, field: int, value: str) -> None:
        with self._begin(write=True) as transaction:
            row = _stored(transaction, key)
            row[FIELDS[field]] = value
            transaction.put(key.encode(), msgpack.packb(row))

    def insert(self, key: str, fields: tuple[str, ...]) -> None:
        with self._begin(write=True) as transaction:
            if not transaction.put(key.encode(), msgpack.packb(_row(key, fields)), overwrite=False):
                raise ValueError(f"{key} is there already")

    def modify(self, key: str, field: int) -> None:
        with self._begin(write=True) as transaction:
            row = _stored(transaction, key)
            row[FIELDS[field]] = increased(row[FIELDS[field]])
            transaction.put(key.encode(), msgpack.packb(row))


def _stored(transaction: lmdb.Transaction, key: str) -> dict[str, Any]:
    stored = transaction.get(key.encode())
    if stored is None:
        raise KeyError(key)
    row: dict[str, Any] = msgpack.unpackb(stored)
    return row
