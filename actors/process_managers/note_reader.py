"""What process managers read of the write store."""

from __future__ import annotations

from typing import Protocol

__all__ = ["NoteReader"]


class NoteReader(Protocol):
    """Reads notes by key; `storage.EventLog` is one, a test's dict another."""

    @property
    def history_id(self) -> str:
        """The id of the log's history: that of no other store."""

    def note(self, key: bytes) -> bytes | None:
        """A note's value, None for none."""

    def notes(self, prefix: bytes, after: bytes = b"", limit: int | None = None) -> list[tuple[bytes, bytes]]:
        """The notes whose keys begin with `prefix` and come after `after`, in the order of their keys."""
