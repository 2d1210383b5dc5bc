"""What process managers read of the write store."""

from __future__ import annotations

from typing import Protocol

__all__ = ["NoteReader"]


class NoteReader(Protocol):
    """Reads notes by key; `storage.EventLog` is one, a test's dict another."""

    @property
    def first_history_id(self) -> str:
        """The id with which the log's history began: that of no other store but those restored from it."""

    def note(self, key: bytes) -> bytes | None:
        """A note's value, None for none."""

    def notes(self, prefix: bytes, after: bytes = b"", limit: int | None = None) -> list[tuple[bytes, bytes]]:
        """The notes whose keys begin with `prefix` and come after `after`, in the order of their keys."""
