"""Follows the chain over stored events and links, as they come, and checks every CRC and digest. Pure.

One thread. The same code checks what a backup writes, and what is read from one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from hashlib import sha256
from zlib import crc32

import msgpack

from storage.archive.archives import Archives
from storage.backup.segment_format import LinkRecord, Point
from storage.errors import DamagedStore
from storage.files.header import ARCHIVES_FORMAT
from storage.log.archived_event import removed_archive
from storage.log.checksums import (
    COMMIT_ENDS,
    CRC_BYTES,
    DIGEST_BYTES,
    EVENT,
    LAST_EVENT,
    LAST_STUB,
    STUB,
    command_link,
    correction_link,
    opened_record,
)
from storage.log.commit_ends import commit_ends
from storage.log.correction_entries import CORRECTIONS, operation_key
from storage.log.record_format import RecordFormat
from storage.log.records import U64

__all__ = ["ChainFollower", "corrected_count", "correction_time", "link_fields", "opened_operation"]

FIRST_GUESS = 100
"""Events of a commit, before any was followed."""

_EMPTY = sha256()
_LAST_BYTES = DIGEST_BYTES + CRC_BYTES
_DIGEST = slice(-_LAST_BYTES, -CRC_BYTES)


def link_fields(link: LinkRecord) -> tuple[bytes, list[bytes], int]:
    """Digest, ids of commands and number of the correction in a link. Raises DamagedStore."""
    stored = opened_record("chain", link.key, link.link)
    if stored is None:
        raise DamagedStore(f"the link of the chain {link.key.hex()} is damaged: its checksum is wrong")
    digest, ids, *correction = msgpack.unpackb(stored)
    return digest, ids, correction[0] if correction else 0


def correction_time(operation: bytes, number: int) -> int:
    """When a correction was made, in microseconds since 1970, by its record. Raises DamagedStore."""
    return int(msgpack.unpackb(opened_operation(operation, number))[2])


def corrected_count(operation: bytes, number: int) -> int:
    """How many events a correction changed, by its record. Raises DamagedStore."""
    return int(msgpack.unpackb(opened_operation(operation, number))[4])


def opened_operation(operation: bytes, number: int) -> bytes:
    """The own bytes of the record of a correction. Raises DamagedStore."""
    record = opened_record(CORRECTIONS, operation_key(number), operation)
    if record is None:
        raise DamagedStore(f"the record of correction {number} is damaged: its checksum is wrong")
    return record


class _Other(Exception):
    """There is something else than sound events: stubs of archived ones, or damage."""


class ChainFollower:
    """At `point`, where the last commit ended that it has followed. Errors call the source `what`.

    `archives` have the events that are archived; of those that were removed it takes the digest behind them
    as it is.
    """

    def __init__(self, point: Point, what: str, archives: Archives | None = None) -> None:
        self.point = point
        self.archives = archives
        self._what = what
        self._links: deque[LinkRecord] = deque()
        self._usual = FIRST_GUESS
        """How many events a commit has, on the average of the last ones that were followed."""

    def links(self, links: Sequence[LinkRecord]) -> None:
        """Follow links, each where the log ended when it was made: now, or among the next events.

        Raises DamagedStore.
        """
        self._links.extend(links)
        self._meet(self.point.position)

    def events(self, first: int, values: Sequence[bytes]) -> None:
        """Follow the commits of the next stored events; the last one is the end of a commit.

        Raises DamagedStore.
        """
        if first != self.point.position + 1:
            raise DamagedStore(
                f"{self._what} goes on with position {first} after position {self.point.position}"
            )
        try:
            ends = commit_ends(first, values, self._usual, _Other)
        except _Other:
            self._with_others(first, values)
            return
        if not ends or ends[-1] != len(values) - 1:
            raise self._without_end(first + len(values) - 1)
        self._usual = len(values) // len(ends)
        if len(ends) == len(values) and not self._links:
            self._commits_of_one(first, values)
        else:
            self._commits(first, values, ends)

    def go_on(self, begin: Point, end: Point) -> None:
        """Go on after events that another one has followed from one point to the other.

        Raises DamagedStore if they do not begin where this one is.
        """
        if begin != self.point or self._links:
            raise self._broken(begin.position)
        self.point = end

    def _commits_of_one(self, first: int, values: Sequence[bytes]) -> None:
        """Follow events that are each a commit. Raises DamagedStore."""
        digest, position, join, new = self.point.digest, first, b"".join, _EMPTY.copy
        for value in values:
            link = new()
            link.update(join((digest, b"events", value[:-_LAST_BYTES], position.to_bytes(8))))
            digest = link.digest()
            if digest != value[_DIGEST]:
                raise self._broken(position)
            position += 1
        self.point = self.point._replace(position=position - 1, digest=digest)

    def _commits(self, first: int, values: Sequence[bytes], ends: Sequence[int]) -> None:
        """Follow events whose commits end at these indexes. Raises DamagedStore."""
        digest, join, new = self.point.digest, b"".join, _EMPTY.copy
        begin, position = 0, first - 1
        for end in ends:
            position = first + end
            # A commit at a time: all of their bytes together would not fit into the processor's cache.
            parts = [value[:-CRC_BYTES] for value in values[begin:end]]
            link = new()
            link.update(join((digest, b"events", *parts, values[end][:-_LAST_BYTES], position.to_bytes(8))))
            digest = link.digest()
            if digest != values[end][_DIGEST]:
                raise self._broken(position)
            if self._links:
                self.point = self.point._replace(position=position, digest=digest)
                self._meet(position)
                digest = self.point.digest
            begin = end + 1
        self.point = self.point._replace(position=position, digest=digest)

    def _with_others(self, first: int, values: Sequence[bytes]) -> None:
        """Follow commits of events of which some are archived. Raises DamagedStore, ArchiveUnavailable."""
        checks = list(map(crc32, values, range(first, first + len(values))))
        for index, check in enumerate(checks):
            if check not in (EVENT, LAST_EVENT, STUB, LAST_STUB):
                raise self._damaged(first + index)
        if checks[-1] not in COMMIT_ENDS:
            raise self._without_end(first + len(values) - 1)
        records = RecordFormat(ARCHIVES_FORMAT, self._what, self.archives)
        link, known = sha256(self.point.digest + b"events"), True
        for position, value, check in zip(range(first, first + len(values)), values, checks, strict=True):
            event = records.event(position, value)
            known &= check not in (STUB, LAST_STUB) or removed_archive(event) is None
            link.update(event)
            if check not in COMMIT_ENDS:
                continue
            link.update(position.to_bytes(8))
            digest = value[_DIGEST]
            if known and link.digest() != digest:
                raise self._broken(position)
            self.point = Point(position, digest, self.point.link, self.point.corrections)
            if self._links:
                self._meet(position)
            link, known = sha256(self.point.digest + b"events"), True

    def end(self) -> Point:
        """The point that is reached. Raises DamagedStore if a link was left over."""
        if self._links:
            position = U64.unpack(self._links[0].key[:8])[0]
            raise DamagedStore(
                f"{self._what} has a link of the chain at position {position}, and ends at "
                f"{self.point.position}"
            )
        return self.point

    def _meet(self, position: int) -> None:
        while self._links and U64.unpack(self._links[0].key[:8])[0] <= position:
            link = self._links.popleft()
            digest, ids, number = link_fields(link)
            if U64.unpack(link.key[:8])[0] != position or self._digest(link, ids, number) != digest:
                raise self._broken(position)
            corrections = number or self.point.corrections
            self.point = Point(position, digest, link.key, corrections)

    def _digest(self, link: LinkRecord, ids: list[bytes], number: int) -> bytes:
        before, position = self.point.digest, self.point.position
        if number:
            record = opened_record(CORRECTIONS, operation_key(number), link.operation)
            if record is None or number != self.point.corrections + 1:
                return b""
            return correction_link(before, position, number, record)
        records = []
        for command_id, stored in link.commands:
            record = opened_record("commands", command_id, stored)
            if record is None:
                return b""
            records.append((command_id, record))
        return command_link(before, position, records) if [key for key, _ in records] == ids else b""

    def _without_end(self, position: int) -> DamagedStore:
        return DamagedStore(f"{self._what} has the beginning of a commit at position {position} alone")

    def _damaged(self, position: int) -> DamagedStore:
        error = DamagedStore(
            f"the event at position {position} of {self._what} is not what was written there: its checksum "
            "is wrong"
        )
        error.position = position
        return error

    def _broken(self, position: int) -> DamagedStore:
        return DamagedStore(
            f"what was committed up to position {position} of {self._what} is not what the chain says: it, "
            "or something before it, was changed, removed or inserted"
        )
