"""What the log knows of its inline models: their fingerprints, databases and positions, as stored. The opener's thread.

Their tables can be filled from the log, so a catalog that does not fit them is no reason to give the log up.
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
"""How the names of all their databases begin."""

_AGAIN = "the inline models are filled from the log again"


def stored_models(
    txn: lmdb.Transaction[bytes], catalog: lmdb._Database, head: int, what: str
) -> dict[str, tuple[str, list[str]]]:
    """Fingerprint and databases of each stored model; those of one that has no position belong to no fingerprint.

    `head` is the log's. Raises DamagedStore for a catalog that does not fit the databases.
    """
    stored: dict[str, tuple[str, list[str]]] = {}
    with damaged_records(f"the catalog of the inline models of {what}", _AGAIN):
        positions = {key[len(POSITION) :].decode(): raw for key, raw in below(txn, catalog, POSITION)}
        for key, raw in below(txn, catalog, MODEL):
            name = key[len(MODEL) :].decode()
            fingerprint, databases = msgpack.unpackb(raw)
            # One that was made and never filled, or whose position is lost: its tables begin anew.
            stored[name] = fingerprint if name in positions or not head else "", databases
        for name, raw in positions.items():
            position = int.from_bytes(raw)
            if len(raw) != 8 or position > head or name not in stored:
                raise ValueError(f"model {name!r} at position {position}, where the log ends at {head}")
        named = {name.encode() for _, databases in stored.values() for name in databases}
        strangers = sorted({*table_databases(txn)} - named) + [
            one for one in named if not one.startswith(TABLES.encode())
        ]
        if strangers:
            raise ValueError(f"{strangers[0]!r} is a table of no model")
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
