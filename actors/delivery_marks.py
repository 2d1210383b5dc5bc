"""What is out at this moment: deliveries to consumers and effects, noted where it outlives the process, and costs nothing.

A delivery that ends its process, since it takes too much memory or crashes in a C library, must count as an attempt, or it
would come again at every start. So a file beside the log is mapped, and each delivery is written into a slot of it before
it is handed out: a process that dies leaves it to the system's cache, so nothing is written to the disk for that. After a
crash of the machine the file may be an older one; then an attempt is not counted. Any thread.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
import struct
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import blake2b
from operator import itemgetter
from pathlib import Path

from storage.taken import Descriptor

__all__ = ["CLOSED", "MARKS_FILE", "SLOT", "DeliveryMarks", "Item", "Left", "owner_of"]

logger = logging.getLogger("onewriter.deliveries")

MARKS_FILE = "deliveries"
SLOTS = 4096
"""Deliveries that are out at once and can be noted; those beyond are delivered without."""

SLOT = struct.Struct("<8sQQI4x")
"""Whose delivery it is, what is delivered, as two numbers, and in which attempt, from 1; 0 where nothing is."""
MAGIC = b"onewriter deliveries 1".ljust(SLOT.size, b"\0")
"""In a slot of its own behind the first, which is written where there is no other."""
CLOSED = (ValueError, TypeError)
"""What writing into a map raises that is closed: which of them depends on the moment."""
NOTHING = (bytes(8), 0, 0, 0)
FIRST = 2 * SLOT.size
BYTES = FIRST + SLOTS * SLOT.size

Item = tuple[int, int]
Left = dict[Item, tuple[int, int]]
"""What a process that died had out, by what it is: the slot and the attempt."""


def owner_of(kind: str, name: str) -> bytes:
    """How the deliveries of a consumer's name, or of a process manager, are told from others."""
    return blake2b(f"{kind} {name}".encode(), digest_size=8).digest()


class DeliveryMarks:
    """Of one open store. A file that can't be had is told in the log, and nothing is noted then."""

    def __init__(self, path: Path, in_place: Callable[[], bool]) -> None:
        """`path` is the store's directory; nothing is touched yet. `in_place()` tells whether it still is that."""
        self._path = path / MARKS_FILE
        self._in_place = in_place
        self._lock = threading.Lock()
        self._map: mmap.mmap | None = None
        self._over = False
        self._free: list[int] = []
        self._left: dict[bytes, Left] = {}

    # -- slots --------------------------------------------------------------------------------
    def slot(self) -> tuple[mmap.mmap | bytearray, int]:
        """A slot for one delivery after another: `pack_into` of `SLOT` writes it, at this place.

        Where there is none it is 0, which nobody reads. Writing raises `CLOSED` once the marks are closed.
        """
        with self._lock:
            if self._map is None and not self._over:
                self._open(create=True)
            return self.at_hand(), self._free.pop() if self._free and self._map is not None else 0

    def at_hand(self) -> mmap.mmap | bytearray:
        """The mapped file, or one slot that nobody reads."""
        return bytearray(SLOT.size) if self._map is None else self._map

    def clear(self, slot: int) -> None:
        """What the slot has is not out any more."""
        # It may be closed in this moment.
        with suppress(*CLOSED):
            if slot and self._map is not None:
                SLOT.pack_into(self._map, slot, *NOTHING)

    def give_back(self, slots: Iterable[int]) -> None:
        """Clear slots, and let others have them."""
        for slot in slots:
            if slot:
                self.clear(slot)
                with self._lock:
                    self._free.append(slot)

    # -- what was left ------------------------------------------------------------------------
    def left(self, owner: bytes) -> Left:
        """What the last process had out for this owner when it died. Who takes something out of it has its slot from then on."""
        with self._lock:
            if self._map is None and not self._over and self._path.exists():
                self._open(create=False)
            return self._left.setdefault(owner, {})

    # -- the file -----------------------------------------------------------------------------
    def _open(self, create: bool) -> None:
        try:
            if not self._in_place():
                raise FileNotFoundError(errno.ENOENT, "the store's directory is not where it was opened")
            with Descriptor(self._path, os.O_RDWR | (os.O_CREAT if create else 0)) as number:
                # On a full disk a hole that is filled through the map would end the process.
                os.posix_fallocate(number, 0, BYTES)
                self._map = mmap.mmap(number, BYTES)
        except OSError as error:
            self._over = True
            logger.warning(
                "%s can't be used (%s): deliveries that end the process are not counted", self._path, error
            )
            return
        self._read(self._map)

    def _read(self, marks: mmap.mmap) -> None:
        if marks[SLOT.size : FIRST] != MAGIC:
            marks[:] = bytes(SLOT.size) + MAGIC + bytes(BYTES - FIRST)
        for slot in range(BYTES - SLOT.size, FIRST - 1, -SLOT.size):
            owner, first, second, attempt = SLOT.unpack_from(marks, slot)
            if not attempt:
                self._free.append(slot)
                continue
            left = self._left.setdefault(owner, {})
            other = left.get((first, second), (0, 0))
            older, left[first, second] = sorted((other, (slot, attempt)), key=itemgetter(1))
            if older[0]:
                SLOT.pack_into(marks, older[0], *NOTHING)
                self._free.append(older[0])

    def close(self) -> None:
        """An orderly end: what is still out does not count, what was left and nobody took stays noted."""
        with self._lock:
            self._over = True
            marks, self._map = self._map, None
            if marks is None:
                return
            kept = {slot for left in self._left.values() for slot, _ in left.values()}
            for slot in range(FIRST, BYTES, SLOT.size):
                if slot not in kept:
                    SLOT.pack_into(marks, slot, *NOTHING)
            marks.close()
