"""The remaining rows of a statement, buffered before a projection writes. The replica's thread, in a batch.

SQLite does not define which rows a statement gives after a table that it reads was changed: a moved row may
come again, more than once. So all remaining rows are read first. Many of them go to an unnamed file, which
the system removes once nothing refers to it.
"""

from __future__ import annotations

import marshal
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from storage.files.error_translation import from_system

__all__ = ["CHUNK", "BufferedRows"]

CHUNK = 100
"""How many rows are read, buffered and decoded at a time."""

IN_MEMORY = 1 << 20
"""How many bytes stay in memory; more go to a file."""

Rows = list[tuple[Any, ...]]


class BufferedRows:
    """Rows in order, each to be taken once.

    `close` drops those that are left; so does dropping the object.
    """

    __slots__ = ("_chunks", "_database", "_error", "_file", "_offset", "_taken")

    def __init__(self, database: Path | None) -> None:
        self._database = database  # the file is created in its directory
        self._taken: Rows = []  # reversed
        # For each chunk, last one first: how many bytes of the file it takes, or the chunk itself.
        self._chunks: list[int | Rows] = []
        self._offset = 0
        self._file: Any = None
        self._error: Exception | None = None

    def read_from(
        self, fetchone: Callable[[], tuple[Any, ...] | None], explain: Callable[[sqlite3.Error], Exception]
    ) -> None:
        """Read all that `fetchone` still gives; an error of the statement is raised after the rows before it.

        Raises StoreFull, StorageError.
        """
        chunk: Rows = []
        try:
            for row in iter(fetchone, None):
                chunk.append(row)
                if len(chunk) == CHUNK:
                    self._add(chunk)
                    chunk = []
        except sqlite3.Error as error:
            self._error = explain(error)
        if chunk:
            self._add(chunk)
        self._chunks.reverse()

    def _add(self, chunk: Rows) -> None:
        try:
            raw = marshal.dumps(chunk)
        except ValueError:  # values from a text_factory
            self._chunks.append(chunk)
            return
        try:
            if self._file is None:
                folder = None if self._database is None else str(self._database.parent)
                self._file = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=folder)  # noqa: SIM115
            self._file.write(raw)
        except OSError as error:
            what = f"buffering rows of {self._database}, which a projection reads and changes,"
            raise from_system(error, what, self._database or tempfile.gettempdir()) from error
        self._chunks.append(len(raw))

    @property
    def empty(self) -> bool:
        """Whether there is nothing to take."""
        return not (self._taken or self._chunks or self._error)

    def take(self) -> tuple[Any, ...] | None:
        """The next row, None at the end."""
        if not self._taken and not self._more():
            error, self._error = self._error, None
            if error is not None:
                raise error
            return None
        return self._taken.pop()

    def _more(self) -> bool:
        if not self._chunks:
            self.close()
            return False
        chunk = self._chunks.pop()
        if isinstance(chunk, int):
            self._file.seek(self._offset)
            self._offset += chunk
            chunk = marshal.loads(self._file.read(chunk))
        self._taken = chunk[::-1]
        return True

    def close(self) -> None:
        """Drop all rows, and close the file."""
        self._chunks, self._taken = [], []
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def __del__(self) -> None:
        self.close()
