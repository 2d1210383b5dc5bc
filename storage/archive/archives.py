"""The archives of one log: finds the file of each, and reads single events of them. Any thread."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from storage.archive.archive_file import ArchiveFile
from storage.archive.archive_format import EventBlock, archive_name
from storage.errors import ArchiveUnavailable

__all__ = ["ARCHIVES_FOLDER", "Archives", "KnownArchive"]

ARCHIVES_FOLDER = "archives"
"""Its name in a store's directory."""

REMEMBERED_BLOCKS = 128
"""Blocks that are kept decompressed, about 16 KiB each: a reader in order decompresses each block once."""


class KnownArchive(NamedTuple):
    """What a log knows of an archive: the digest of its file, and whether it was removed."""

    digest: bytes
    removed: bool


class Archives:
    """The archives in a folder. Files are opened when an event of them is read.

    `known` gives what the log knows of the archive of a number, None if there is none; it is called when the
    file is first used, and again if that fails.
    """

    def __init__(
        self,
        folder: Path,
        known: Callable[[int], KnownArchive | None],
        name: Callable[[int, KnownArchive], str] = lambda number, _: archive_name(number),
    ) -> None:
        """`name` gives the name of an archive's file."""
        self.folder = folder
        self._known = known
        self._name = name
        self._lock = threading.Lock()
        self._files: dict[int, ArchiveFile] = {}
        self._removed: set[int] = set()
        self._blocks: OrderedDict[tuple[int, int], EventBlock] = OrderedDict()
        self._operation = 0

    @property
    def in_use(self) -> bool:
        """Whether any was read, so that events of it may be in memory."""
        return bool(self._files)

    def seen(self, operation: int, known: Callable[[int], KnownArchive | None]) -> None:
        """The last operation of the log has this number: what others have removed is not read any more.

        `known` is as that of the beginning, and called at once.
        """
        if operation != self._operation:
            for number in list(self._files):
                found = known(number)
                if found is not None and found.removed:
                    self._removed.add(number)
                    self.forget(number)
            self._operation = operation

    def path(self, number: int) -> Path:
        """Where the file of an archive is, or should be."""
        return self.folder / archive_name(number)

    def event(self, number: int, position: int) -> bytes | None:
        """The bytes of an archived event; None if its archive was removed. Raises ArchiveUnavailable."""
        try:
            if number in self._removed:
                return None
            file = self.file(number)
            if file is None:
                return None
            index = file.block_of(position)
            block = self._block(number, file, index) if index >= 0 else None
            at = -1 if block is None else bisect_left(block.positions, position)
            if block is None or at == len(block.positions) or block.positions[at] != position:
                raise ArchiveUnavailable(
                    f"the archive {file.path} is another one: it lacks an event of the log; put the right "
                    "file there, such as that of a backup"
                )
            return block.event(at)
        except ArchiveUnavailable as error:
            # Another process may have removed the archive meanwhile.
            self.forget(number)
            known = self._known(number)
            if known is not None and known.removed:
                self._removed.add(number)
                return None
            raise ArchiveUnavailable(
                f"the event at position {position} is in archive {number}: {error}", number, position
            ) from error

    def is_removed(self, number: int) -> bool:
        """Whether an archive was removed."""
        if number not in self._removed:
            known = self._known(number)
            if known is not None and known.removed:
                self._removed.add(number)
        return number in self._removed

    def file(self, number: int) -> ArchiveFile | None:
        """The file of an archive; None if it was removed. Raises ArchiveUnavailable, NewerFormat."""
        file = self._files.get(number)
        if file is not None:
            return file
        known = self._known(number)
        if known is None:
            raise ArchiveUnavailable(
                f"the log has events of archive {number}, but no record of it; `onewriter verify` lists all "
                "damage; restore a backup",
                number,
            )
        if known.removed:
            self._removed.add(number)
            return None
        path = self.folder / self._name(number, known)
        file = ArchiveFile.open(path)
        if file.header.number != number or file.end.digest != known.digest:
            raise ArchiveUnavailable(
                f"the archive {path} is another one than the log's archive {number}; put the right file "
                "there, such as that of a backup",
                number,
            )
        with self._lock:
            self._files[number] = file
        return file

    def forget(self, number: int) -> None:
        """Open the file of an archive again when it is used next: it was replaced, or removed."""
        with self._lock:
            self._files.pop(number, None)
            for key in [key for key in self._blocks if key[0] == number]:
                del self._blocks[key]

    def _block(self, number: int, file: ArchiveFile, index: int) -> EventBlock:
        key = number, index
        with self._lock:
            block = self._blocks.get(key)
            if block is not None:
                self._blocks.move_to_end(key)
                return block
        block = file.block(index)
        with self._lock:
            self._blocks[key] = block
            while len(self._blocks) > REMEMBERED_BLOCKS:
                self._blocks.popitem(last=False)
        return block
