"""What a peer of the mixes has to be. A peer is made once and has clients, one a caller's thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Record = tuple[str, tuple[str, ...]]
"""Key and fields."""


class Client(ABC):
    """One caller's way to the records. Each write is on disk when its call returns."""

    @abstractmethod
    def read(self, key: str) -> dict[str, Any] | None:
        """All fields of a record, None where there is none."""

    @abstractmethod
    def update(self, key: str, field: int, value: str) -> None:
        """Write one field of a record that is there."""

    @abstractmethod
    def insert(self, key: str, fields: tuple[str, ...]) -> None:
        """Add a record that is not there yet."""

    @abstractmethod
    def modify(self, key: str, field: int) -> None:
        """Read a record and write one field increased, with no other write in between."""

    def close(self) -> None:  # noqa: B027
        """Release what is this caller's own."""


class MixPeer(ABC):
    """A store of records."""

    key: str
    """Its name in figures."""
    label: str
    promises: str
    ways: tuple[str, ...] = ("",)
    """Names of the ways in which it can be read, if there are several."""

    @abstractmethod
    def load(self, folder: Path, records: Iterable[Record]) -> None:
        """Make a store in `folder`, which is empty, with these records, which come in key order.

        Not timed.
        """

    @abstractmethod
    def open(self) -> None:
        """Open the store that was loaded. Not timed."""

    @abstractmethod
    def client(self, way: str) -> Client:
        """For the thread that calls this."""

    def settle(self) -> None:  # noqa: B027
        """Wait until nothing of what was written is still being worked on."""

    def written(self) -> int | None:
        """How many writes there were, for a peer that keeps each of them."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Close the store; also after a `load` or an `open` that failed half-way."""
