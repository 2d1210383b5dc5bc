"""Which events a store knows to be written, so that a class that was only declared may change freely.

The writer notes a type in the commit of its first event. The writer's thread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from actors.schema.description import Schema
from actors.schema.notes import written_note
from storage.codec.upcasting import stored_name
from storage.log.notes import Note

__all__ = ["WrittenTypes"]


class WrittenTypes:
    """`known` are the event types, by their names in the code, that the store knows in their present version.

    Add to it once the notes of others are on disk.
    """

    def __init__(self, schema: Schema, known: Iterable[str]) -> None:
        self.known = set(known)
        self._schema = schema

    def notes(self, names: Collection[str]) -> list[Note]:
        """The notes of types that are about to be written for the first time."""
        return [written_note(stored_name(name, self._schema.types[name].version)) for name in sorted(names)]
