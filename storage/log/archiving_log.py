"""Moving events of a log that is open for writing to an archive, and removing archives.

An archive is made in two steps. Any thread writes its file, which changes nothing in the log
(`archive_files_log`). Then the writer records it, and replaces each event by a stub, in as many transactions
as it likes: until then an event is in both. Whatever ends in between, every event can be read.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress

import lmdb

from storage.archive.archive_file import ArchiveFile
from storage.errors import ArchiveRefused, CorrectionRefused
from storage.files.environment import DATA_FILE
from storage.files.header import ARCHIVES_FORMAT, META_DB, write_header
from storage.files.leaf_packing import leaves_at, pack_leaves
from storage.files.lmdb_pages import BrokenPage, PageFile
from storage.log.archive_files_log import ArchiveFilesLog
from storage.log.archive_records import (
    ArchiveRecord,
    StoredArchive,
    archive_fields,
    archive_of_operation,
    archive_records,
    last_archive,
    put_archive,
    removal_fields,
    stored_archive,
    stored_archives,
)
from storage.log.archiving import (
    corrected_since,
    erase_corrected,
    has_position,
    move_events,
    removed_from,
)
from storage.log.chain import put_correction_link
from storage.log.correction_entries import last_number
from storage.log.corrections import ChangedEvent, write_operation
from storage.log.records import U64, envelope_of
from storage.log.unindexed_tail import write_tail

__all__ = ["ArchivingLog"]

logger = logging.getLogger("onewriter.log")

LOOKED_AT = 20
"""Branches of the tree of events that are looked at before one transaction packs one of them."""


class ArchivingLog(ArchiveFilesLog):
    """The archives of a log that is open for writing; `EventLog` is one."""

    def move_to_archive(self, number: int, limit: int) -> int:
        """Move the next `limit` events to the archive of a number; returns how many are left to move.

        Once all are, what is left in the log is packed into fewer pages, some thousand events a call; until
        that is done it returns 1. The first call records the operation, with who did it and why. A call
        repeats what an earlier one may have left undone. The log's file gets a format that earlier versions
        of this program refuse. The writer's thread.

        Raises, with nothing written: ArchiveRefused for an archive that was not begun or was removed, and if
        an event was corrected since it was begun; ArchiveUnavailable, DamagedStore, StoreFull. Raises
        CommitFailed as `append` does.
        """
        with self._writing:
            self._require_writable()
            tail, chain_end = self._tail, self._chain_end
            with self._changing("moving events to an archive of the log in") as transaction:
                log = transaction, self._databases, self._records
                archive = stored_archive(*log, number)
                if archive is None:
                    file = self._begun_file(transaction, number)
                    if file.end.last > tail.indexed:
                        tail = write_tail(transaction, self._databases, tail)
                    archive, chain_end = self._record_archive(transaction, file)
                elif archive.removal:
                    raise ArchiveRefused(f"archive {number} of the log in {self.path} was removed")
                else:
                    known = self._archives.file(number)
                    assert known is not None
                    file = known
                archive = move_events(*log, file, archive, limit)
                put_archive(transaction, self._databases, archive)
            self._tail, self._chain_end = tail, chain_end
            self._header = self._header._replace(format=ARCHIVES_FORMAT)
            left = archive.events - archive.moved_events
            return left or int(self._pack(archive))

    def remove_archive(
        self, number: int, *, who: str, why: str, time_us: int, erase: bool = True
    ) -> ArchiveRecord:
        """Remove an archive: its events are gone for good. Its file is overwritten and deleted.

        That takes as long as it is large; without `erase` it is left to `erase_removed_archives`.

        From then on its events are read as dropped ones. Positions, streams, tags and command ids stay as
        they are; backups that were made before have the events. If the file can't be deleted, the next
        opening tries it again. The writer's thread.

        Raises, with nothing written: ArchiveRefused for an archive that does not exist, was removed, or has
        events that are not moved yet; DamagedStore, StoreFull. Raises CommitFailed as `append` does, and
        StorageError if the file can't be deleted.
        """
        with self._writing:
            self._require_writable()
            with self._changing("removing an archive of the log in") as transaction:
                log = transaction, self._databases, self._records
                archive = stored_archive(*log, number)
                if archive is None or archive.state != "archived":
                    raise self._not_removable(number, archive)
                operation = last_number(transaction, self._databases) + 1
                fields = removal_fields(who, why, time_us, self._head, number)
                _, chain_end = self._write_operation(transaction, operation, fields)
                erase_corrected(*log, archive)
                archive = archive._replace(removal=operation)
                put_archive(transaction, self._databases, archive)
                [record] = archive_records(*log, self._archives, [archive])
            self._chain_end = chain_end
            self._archives.forget(number)
        if erase:
            self.erase_removed_archives()
        return record

    def _require_correctable(self, changes: Sequence[ChangedEvent]) -> None:
        """Raise CorrectionRefused if an archive has one of these events that is still in the log, too, and
        for a stream with removed events: it needs its snapshot."""
        positions = [changed.position for changed in changes]
        with self._reading() as transaction:
            truncated = removed_from(transaction, self._databases, self._records, _streams(changes))
            if truncated is not None:
                stream, number = truncated
                raise CorrectionRefused(
                    f"events of stream {stream!r} in the log in {self.path} were removed with archive "
                    f"{number}: its state can only be had from its snapshot, which a correction of its other "
                    "events would delete; leave the stream out of the correction"
                )
            archives = stored_archives(transaction, self._databases, self._records)
            for archive in archives:
                file = self._archives.file(archive.number) if archive.state == "moving" else None
                if file is None:
                    continue
                for position in positions:
                    if has_position(file, position):
                        raise CorrectionRefused(
                            f"the event at position {position} of the log in {self.path} is in archive "
                            f"{archive.number}, which is never changed: leave it out of the correction"
                        )

    def _pack(self, archive: StoredArchive) -> bool:
        """Pack some of the pages in which the events of an archive were; whether more are left to do."""
        if archive.packed >= archive.last:
            return False
        packed, leaves = archive.last, None
        try:
            with (self.path / DATA_FILE).open("rb") as file, self._reading() as transaction:
                pages = PageFile(file.fileno())
                at = max(archive.packed + 1, archive.first)
                for _ in range(LOOKED_AT):
                    leaves = leaves_at(pages, transaction.id(), b"events", U64.pack(at))
                    packed = archive.last if leaves is None else U64.unpack(leaves.last)[0]
                    if leaves is None or leaves.worth_packing or packed >= archive.last:
                        break
                    at = packed + 1
        except (OSError, BrokenPage, struct.error) as error:
            logger.warning("the events of the log in %s were not packed: %s", self.path, error)
            packed, leaves = archive.last, None
        with self._changing("packing the events of the log in") as transaction:
            if leaves is not None and leaves.worth_packing:
                pack_leaves(transaction, self._databases["events"], leaves)
            put_archive(transaction, self._databases, archive._replace(packed=packed))
        return packed < archive.last

    # -- inside ----------------------------------------------------------------------------------------------
    def _begun_file(self, transaction: lmdb.Transaction[bytes], number: int) -> ArchiveFile:
        path = self._archives.path(number)
        if number != last_archive(transaction, self._databases) + 1 or not os.path.exists(path):
            raise ArchiveRefused(f"archive {number} of the log in {self.path} was not begun; begin one")
        self._require_own(path)
        file = ArchiveFile.open(path)
        if file.header.number != number or file.end.last > self._head:
            raise ArchiveRefused(f"{path} is another archive than number {number}; begin one")
        position = corrected_since(transaction, self._databases, self._records, file)
        if position is not None:
            raise ArchiveRefused(
                f"the event at position {position} was corrected after {path} was written; begin the archive "
                "again"
            )
        return file

    def _record_archive(
        self, transaction: lmdb.Transaction[bytes], file: ArchiveFile
    ) -> tuple[StoredArchive, tuple[int, bytes]]:
        header = file.header
        operation = last_number(transaction, self._databases) + 1
        fields = archive_fields(header.who, header.why, header.time_us, self._head, header.number, file)
        record, chain_end = self._write_operation(transaction, operation, fields)
        write_header(
            transaction,
            self._databases[META_DB.decode()],
            self._header._replace(format=ARCHIVES_FORMAT),
        )
        archive = archive_of_operation(record, operation)
        assert archive is not None
        return archive, chain_end

    def _write_operation(
        self, transaction: lmdb.Transaction[bytes], operation: int, fields: Sequence[object]
    ) -> tuple[bytes, tuple[int, bytes]]:
        """Record an operation, and link it to the chain; returns its record, and where the chain ends."""
        record = write_operation(transaction, self._databases, operation, fields)
        before = self._chain_end[1]
        digest = put_correction_link(transaction, self._databases, before, self._head, operation, record)
        return record, (self._head, digest)

    def _not_removable(self, number: int, archive: StoredArchive | None) -> ArchiveRefused:
        why = {
            None: "does not exist",
            "removed": "was removed already",
            "moving": "has events that are not moved yet; finish that first",
        }
        state = None if archive is None else archive.state
        return ArchiveRefused(f"archive {number} of the log in {self.path} {why[state]}")


def _streams(changes: Iterable[ChangedEvent]) -> set[str]:
    """Those of corrected events; what is no event is refused later."""
    found = set()
    for changed in changes:
        with suppress(Exception):
            found.add(str(envelope_of(changed.before)[0]))
    return found
