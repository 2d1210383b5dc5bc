"""Verifies the corrections of a log: every changed event follows from its record. Any thread.

The records are read from the last one back. What an event was before one correction is what it was after the
one before that, so nothing but digests has to be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack

from storage.errors import ArchiveUnavailable, DamagedStore
from storage.log.archive_records import ARCHIVE
from storage.log.checksums import correction_link
from storage.log.correction_entries import (
    CORRECTIONS,
    before_entries,
    correction_numbers,
    first_bytes,
    operation_record,
)
from storage.log.corrections import OperationDigest
from storage.log.erased_events import digest_before, digest_now
from storage.log.open_log import LogTransaction

__all__ = ["CorrectionCheck"]


class CorrectionCheck:
    """The corrections of one log, as verifying it meets them; what is wrong goes to `find`."""

    def __init__(self, log: LogTransaction, find: Callable[[str], None]) -> None:
        self._log = log
        self._find = find
        self._corrected: set[int] = set()
        self._linked = 0
        self._numbers = correction_numbers(log.transaction, log.databases)

    def read(self) -> None:
        """Compare all corrected events with the records of their corrections."""
        transaction, databases, records = self._log
        if CORRECTIONS not in databases:
            return
        after: dict[int, bytes] = {}
        entries = len(self._numbers)
        for number in reversed(self._numbers):
            try:
                entries += self._read_one(number, after)
            except DamagedStore as error:
                self._find(str(error))
        self._corrected = set(after)
        kinds = {b"m": 0, b"p": 0, ARCHIVE: 0}
        with transaction.cursor(databases[CORRECTIONS]) as cursor:
            for key, stored in cursor:
                if key[:1] in kinds:
                    kinds[key[:1]] += 1
                try:
                    records.record(CORRECTIONS, key, stored)
                except DamagedStore as error:
                    self._find(str(error))
        if transaction.stat(databases[CORRECTIONS])["entries"] != entries + sum(kinds.values()) or kinds[
            b"p"
        ] != len(after):
            self._find("what corrected events were before is kept for others than the corrections name")

    def _read_one(self, number: int, after: dict[int, bytes]) -> int:
        transaction, databases, records = self._log
        fields: list[Any] = msgpack.unpackb(operation_record(transaction, databases, records, number))
        digest, count, known = OperationDigest(), 0, True
        for position, before in before_entries(transaction, databases, records, number):
            if position not in after:
                after[position] = self._digest_now(position)
            earlier = digest_before(before)
            known &= bool(after[position])
            digest.add(position, earlier, after[position])
            after[position] = earlier
            count += 1
        if count != fields[4] or (known and digest.digest() != fields[5]):
            self._find(
                f"the events of correction {number} are not what it made of them, or not what they were "
                "before: one was changed without a record"
            )
        return count

    def _digest_now(self, position: int) -> bytes:
        """The SHA-256 of a corrected event; empty if it can't be had."""
        try:
            return digest_now(*self._log, position)
        except ArchiveUnavailable:
            return b""  # this was found before

    def original(self, position: int, body: bytes) -> bytes:
        """An event's bytes as they were committed, given those of now."""
        if position not in self._corrected:
            return body
        try:
            return first_bytes(*self._log, position) or body
        except DamagedStore as error:
            self._find(str(error))
            return body

    def follow(self, chain: bytes, position: int, number: int) -> bytes:
        """The digest after the link of a correction, given the one before it; b"" if there is no such one."""
        self._linked += 1
        if number != self._linked or number not in self._numbers:
            return b""
        try:
            return correction_link(chain, position, number, operation_record(*self._log, number))
        except DamagedStore as error:
            self._find(str(error))
            return b""

    def end(self) -> None:
        """After all links were followed."""
        for number in self._numbers[self._linked :]:
            self._find(f"correction {number} is not in the chain: it was not made by this program")
