"""What is out at this moment: deliveries to consumers and effects, noted where it outlives the process, and
costs nothing.

A delivery that ends its process, since it takes too much memory or crashes in a C library, must count as an
attempt, or it would come again at every start. So a file beside the log is mapped, and each delivery is
written into a slot of it before it is handed out: a process that dies leaves it to the system's cache, so
nothing is written to the disk for that. After a crash of the machine the file may be an older one; then an
attempt is not counted. Any thread.

Written with a system call, the file could be cut off by others while it is in use; but each call releases
the GIL, and a delivery would take a third longer.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterable
from hashlib import blake2b
from operator import itemgetter
from pathlib import Path

from storage.errors import StorageError
from storage.files.opening_resources import Descriptor

__all__ = ["CLOSED", "MARKS_FILE", "SLOT", "DeliveryMarks", "Item", "Left", "owner_of"]

logger = logging.getLogger("onewriter.deliveries")

MARKS_FILE = "deliveries"
SLOTS = 4096
"""Deliveries that are out at once and can be noted; those beyond are delivered without."""

SLOT = struct.Struct("<8sQQI4x")
"""Whose delivery it is, what is delivered, as two numbers, and in which attempt, from 1; 0 where
nothing is.
"""
MAGIC = b"onewriter deliveries 1".ljust(SLOT.size, b"\0")
"""In a slot of its own behind the first, which is written where there is no other."""
CLOSED = (ValueError, TypeError)
"""What writing into a map raises that is closed: which of them depends on the moment."""
NOTHING = (bytes(8), 0, 0, 0)
FIRST = 2 * SLOT.size
BYTES = FIRST + SLOTS * SLOT.size
OPEN_AGAIN = 30.0
"""Seconds until a file that could not be used is tried again."""

Item = tuple[int, int]
Left = dict[Item, tuple[int, int]]
"""What a process that died had out, by what it is: the slot and the attempt."""


def owner_of(kind: str, name: str) -> bytes:
    """How the deliveries of a consumer's name, or of a process manager, are told from others."""
    return blake2b(f"{kind} {name}".encode(), digest_size=8).digest()


class DeliveryMarks:
    """Of one open store. Where the file can't be had nothing is noted, which the log and `problems` tell."""

    def __init__(
        self, path: Path, in_place: Callable[[], bool], owners: Callable[[], Collection[bytes]]
    ) -> None:
        """`path` is the store's directory; nothing is touched yet. `in_place()` tells whether it still is
        that.

        `owners()` gives those that the store has: what others had out is of no use to anybody.
        """
        self._path = path / MARKS_FILE
        self._in_place = in_place
        self._owners = owners
        self._lock = threading.Lock()
        self.map: mmap.mmap | None = None
        """The mapped file, None where there is none (yet). Writing into it raises `CLOSED` once the marks are
        closed.
        """
        self._over = False
        self._open_at = 0.0
        self._trouble: str | None = None
        self._short = False
        self._free: list[int] = []
        self._left: dict[bytes, Left] = {}
        self._found: dict[bytes, dict[bytes, int]] = {}

    # -- slots --------------------------------------------------------------------------------
    def note(self, owner: bytes, first: int, second: int, attempt: int) -> int:
        """A delivery is about to be handed out: write that into a free slot. Returns it, 0 where it could not
        be noted.

        Until it is given back it may be written over in `map`.
        """
        with self._lock:
            if self.map is None:
                self._open(create=True)
            if self.map is None:
                return 0
            self._short = not self._free
            if self._short:
                return 0
            slot = self._free.pop()
            SLOT.pack_into(self.map, slot, owner, first, second, attempt)
            return slot

    def give_back(self, slots: Iterable[int]) -> None:
        """What these slots have is not out any more: clear them, and let others have them."""
        with self._lock:
            for slot in slots:
                if slot:
                    self._clear(slot)
                    self._free.append(slot)
                    self._short = False

    def _clear(self, slot: int) -> None:
        if self.map is not None:
            SLOT.pack_into(self.map, slot, *NOTHING)

    # -- asking -------------------------------------------------------------------------------
    def problems(self) -> list[str]:
        """A sentence for each thing that keeps deliveries from being noted; never waits."""
        if self._trouble is not None:
            return [
                f"{self._path} can't be used ({self._trouble}), so a delivery or an effect that ends "
                "the process is not "
                "counted: have room for it, or remove it while the system is closed; it is tried again"
            ]
        if self._short:
            return [
                f"{len(self._slots_taken())} deliveries and effects are out, and more than that can't "
                "be noted in "
                f"{self._path}: one beyond that ends the process uncounted; answer some, or open "
                "consumers with a smaller in_flight="
            ]
        return []

    def _slots_taken(self) -> set[int]:
        return {*range(FIRST, BYTES, SLOT.size)}.difference(self._free)

    # -- what was left ------------------------------------------------------------------------
    def left(self, owner: bytes) -> Left:
        """What the last process had out for this owner when it died. Who takes something out of it has its
        slot from then on.
        """
        with self._lock:
            if self.map is None and self._path.exists():
                self._open(create=False)
            return self._left.setdefault(owner, {})

    def found(self, owner: bytes) -> dict[bytes, int]:
        """The slots of what an owner's actor found of that, by its own keys, until it gives them back;
        outlives the actor.
        """
        return self._found.setdefault(owner, {})

    # -- the file -----------------------------------------------------------------------------
    def _open(self, create: bool) -> None:
        if self._over or time.monotonic() < self._open_at:
            return
        try:
            if not self._in_place():
                raise FileNotFoundError(errno.ENOENT, "the store's directory is not where it was opened")
            with Descriptor(self._path, os.O_RDWR | (os.O_CREAT if create else 0)) as number:
                # On a full disk a hole that is filled through the map would end the process.
                os.posix_fallocate(number, 0, BYTES)
                marks = mmap.mmap(number, BYTES)
            self._read(marks)
        except (OSError, StorageError) as error:
            self._open_at = time.monotonic() + OPEN_AGAIN
            self._fail(error)
            return
        self.map, self._trouble = marks, None

    def _fail(self, error: Exception) -> None:
        if self._trouble != str(error):
            self._trouble = str(error)
            logger.warning(
                "%s can't be used (%s): deliveries that end the process are not counted", self._path, error
            )

    def _read(self, marks: mmap.mmap) -> None:
        if marks[SLOT.size : FIRST] != MAGIC:
            marks[:] = bytes(SLOT.size) + MAGIC + bytes(BYTES - FIRST)
        known: Collection[bytes] | None = None
        free: list[int] = []
        found: dict[bytes, Left] = {}
        for slot in range(BYTES - SLOT.size, FIRST - 1, -SLOT.size):
            owner, first, second, attempt = SLOT.unpack_from(marks, slot)
            if not attempt:
                free.append(slot)
                continue
            if known is None:
                known = self._owners()
            if owner not in known:
                SLOT.pack_into(marks, slot, *NOTHING)
                free.append(slot)
                continue
            left = found.setdefault(owner, {})
            other = left.get((first, second), (0, 0))
            older, left[first, second] = sorted((other, (slot, attempt)), key=itemgetter(1))
            if older[0]:
                SLOT.pack_into(marks, older[0], *NOTHING)
                free.append(older[0])
        self._free = free
        for owner, left in found.items():
            self._left.setdefault(owner, {}).update(left)

    def close(self) -> None:
        """An orderly end: what is still out does not count, what was left and nobody took stays noted."""
        with self._lock:
            self._over = True
            marks, self.map = self.map, None
            if marks is None:
                return
            kept = {slot for left in self._left.values() for slot, _ in left.values()}
            for slot in range(FIRST, BYTES, SLOT.size):
                if slot not in kept:
                    SLOT.pack_into(marks, slot, *NOTHING)
            marks.close()
