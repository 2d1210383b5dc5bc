"""The rest of a statement's rows, put aside before a projection writes. The replica's thread, within a batch.

SQLite leaves it open which rows a statement still gives once a table that it reads is changed: a moved row may come
again, and again. So the rows that are still to come are read first. Many of them go to a file without a name, which
the system takes back as soon as nobody holds it.
"""

from __future__ import annotations

import marshal
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from storage.files.error_translation import from_system

__all__ = ["CHUNK", "KeptRows"]

CHUNK = 100
"""Rows that are read, kept and decoded at once."""

IN_MEMORY = 1 << 20
"""Bytes that are kept in memory; more go to a file."""

Rows = list[tuple[Any, ...]]


class KeptRows:
    """Rows in their order, to be taken once. `close` gives up what is left; so does dropping them."""

    __slots__ = ("_chunks", "_database", "_error", "_file", "_place", "_taken")

    def __init__(self, database: Path | None) -> None:
        self._database = database  # beside which the file is made
        self._taken: Rows = []  # reversed
        # For each chunk, the last one first, how many bytes of the file it takes, or the chunk itself.
        self._chunks: list[int | Rows] = []
        self._place = 0
        self._file: Any = None
        self._error: Exception | None = None

    def read_from(
        self, fetchone: Callable[[], tuple[Any, ...] | None], explain: Callable[[sqlite3.Error], Exception]
    ) -> None:
        """Take all that `fetchone` still gives; an error of the statement is raised after the rows before it.

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
        except ValueError:  # what a text_factory made
            self._chunks.append(chunk)
            return
        try:
            if self._file is None:
                folder = None if self._database is None else str(self._database.parent)
                self._file = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=folder)  # noqa: SIM115
            self._file.write(raw)
        except OSError as error:
            what = f"putting aside rows of {self._database}, which a projection reads and changes,"
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
            self._file.seek(self._place)
            self._place += chunk
            chunk = marshal.loads(self._file.read(chunk))
        self._taken = chunk[::-1]
        return True

    def close(self) -> None:
        """Let go of everything."""
        self._chunks, self._taken = [], []
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def __del__(self) -> None:
        self.close()
