"""What the log stores about its inline models: fingerprints, databases and positions. The opener's thread.

Their tables can be filled from the log, so the log is still usable if this catalog does not match them.
"""

from __future__ import annotations

import lmdb
import msgpack

from storage.files.damage import damaged_records
from storage.tables.access import below

__all__ = ["MODEL", "POSITION", "TABLES", "stored_models", "table_databases"]

MODEL = b"model/"
POSITION = b"position/"
TABLES = "inline/"
"""The prefix of all their databases' names."""

_AGAIN = "the inline models are filled from the log again"


def stored_models(
    txn: lmdb.Transaction[bytes], catalog: lmdb._Database, head: int, what: str
) -> dict[str, tuple[str, list[str]]]:
    """Fingerprint and databases of each stored model; the fingerprint is "" for a model without a position.

    `head` is the log's. Raises DamagedStore if the catalog does not match the databases.
    """
    stored: dict[str, tuple[str, list[str]]] = {}
    with damaged_records(f"the catalog of the inline models of {what}", _AGAIN):
        positions = {key[len(POSITION) :].decode(): raw for key, raw in below(txn, catalog, POSITION)}
        for key, raw in below(txn, catalog, MODEL):
            name = key[len(MODEL) :].decode()
            fingerprint, databases = msgpack.unpackb(raw)
            # A model that was created but never filled, or whose position is lost: its tables start empty.
            stored[name] = fingerprint if name in positions or not head else "", databases
        for name, raw in positions.items():
            position = int.from_bytes(raw)
            if len(raw) != 8 or position > head or name not in stored:
                raise ValueError(f"model {name!r} at position {position}, but the log ends at {head}")
        named = {name.encode() for _, databases in stored.values() for name in databases}
        strangers = sorted({*table_databases(txn)} - named) + [
            database for database in named if not database.startswith(TABLES.encode())
        ]
        if strangers:
            raise ValueError(f"{strangers[0]!r} belongs to no model")
    return stored


def table_databases(txn: lmdb.Transaction[bytes]) -> list[bytes]:
    """The names of all databases of inline models."""
    found = []
    start = TABLES.encode()
    with txn.cursor() as cursor:
        more = cursor.set_range(start)
        while more and cursor.key().startswith(start):
            found.append(bytes(cursor.key()))
            more = cursor.next()
    return found
