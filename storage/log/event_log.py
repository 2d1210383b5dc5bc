"""The event log: every event in commit order, indexed by stream and tag, with command ids and snapshots.

One thread writes, in batches that are on disk entirely or not at all. Any thread reads, each call in its own
short transaction, and sees what was committed. The time to open it does not depend on its length.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import lmdb

from storage.errors import CorrectionRefused, OutOfOrder, StorageError
from storage.log import records
from storage.log.archiving_log import ArchivingLog
from storage.log.batch import AggregateSnapshot, Batch, Items
from storage.log.chain import put_command_link, put_correction_link
from storage.log.corrections import ChangedEvent, write_correction
from storage.log.forgotten_ids import ForgottenIds, forget_ids
from storage.log.inline_batch import InlineBatch
from storage.log.notes import Note, checked_notes, write_notes
from storage.log.records import CommandRecord, Origin, RecordedEvent, name_key
from storage.log.unindexed_tail import check_new, write_tail

DESTROYED_KEYS = b"store/destroyed/"
"""What the notes begin with that have the ids of destroyed keys: a key store that is older may have them."""
REMEMBERED_STREAMS = 10_000
"""Streams whose last version is remembered, so that their next events need no look-up in the index."""


class EventLog(ArchivingLog):
    """The log in its own directory. Create one with `EventLog.open`; usable as a context manager.

    One thread, the writer's, calls what changes the log, and `reopen`; any thread may call everything else.
    """

    def encode_event(self, recorded: RecordedEvent, origin: Origin | None = None) -> bytes:
        """Return the bytes to store for an event, for `append`; any thread. Raises what `Codec.encode` does.

        `origin` is the result of `records.origin_of` if this is the first event of a command that has a
        record.
        """
        return records.encode_event(self._codec.sealed, recorded, origin)

    def chain_head(self) -> tuple[int, str]:
        """As `LogReader.chain_head`, without reading anything."""
        head, digest = self._chain_end
        return head, digest.hex()

    def append(
        self,
        events: Sequence[RecordedEvent],
        commands: Sequence[CommandRecord] = (),
        snapshots: Sequence[AggregateSnapshot] = (),
        *,
        encoded: Sequence[bytes] | None = None,
        before_fsync: Callable[[], None] | None = None,
        notes: Iterable[Note] = (),
        inline: InlineBatch | None = None,
        new_ids: bool = False,
        repeated_ids: bool = False,
    ) -> None:
        """Commit events, command records, snapshots and notes together; on return they are on disk.

        Positions continue at head + 1 and versions at their stream's; command ids must be new, which
        `new_ids` asserts, so that they are not looked up. With `repeated_ids`, for events of another log, an
        id that was forgotten there and used again is that of the later command. `encoded` holds the results
        of `encode_event` for the events, if it was called before. `before_fsync` is called when only the wait
        for the disk is left. Each of `notes` is a key and its new value, None to delete it; the last one of a
        key counts. `inline` is a result of `inline_batch`, with the changes that follow from the events.

        Raises, with certainly nothing written: OutOfOrder, InvalidKey, any CodecError, StoreFull. Raises
        CommitFailed if the outcome is unknown; then nothing more can be appended until `reopen`. The writer's
        thread.
        """
        new_ids = new_ids or repeated_ids
        with self._writing:
            self._require_writable()
            batch = Batch(
                self._codec.sealed,
                self._head,
                events,
                commands,
                snapshots,
                encoded,
                notes,
                self._chain_end[1],
                repeated_ids=repeated_ids,
            )
            self._flush_keys()
            tail = self._tail
            with self._changing("appending to the log in") as transaction:
                check_new(transaction, self._databases, tail, batch, self._last_versions, new_ids=new_ids)
                self._write(transaction, batch)
                whole = False
                if tail.due(batch):
                    tail = write_tail(transaction, self._databases, tail)
                    whole = tail.due(batch)
                    if whole:  # large enough to be indexed immediately
                        tail.add(batch)
                        tail = write_tail(transaction, self._databases, tail)
                if self._inline is not None:
                    self._inline.write(transaction, inline, events[-1].position if events else None)
                if before_fsync is not None:
                    before_fsync()
            if not whole:
                tail.add(batch)
            self._tail = tail
            head = self._head + len(events)
            self._chain_end = head, batch.digest
            self._head = head
            if events:
                self._remember(head, batch.last)
            if len(self._last_versions) > REMEMBERED_STREAMS:
                self._last_versions.clear()
            self._last_versions.update(batch.last_versions)

    def correct(
        self,
        changes: Sequence[ChangedEvent],
        *,
        who: str,
        why: str,
        time_us: int,
        models: Sequence[str] = (),
        notes: Iterable[Note] = (),
    ) -> int:
        """Change stored events, as a recorded operation, and return its number; on return it is on disk.

        `changes` are the events with their bytes before, which `records` returns, and after, which
        `encode_event` does, sorted by position. Type, fields and metadata may change, and nothing else. The
        bytes before are kept; `who` did it, `why`, and `time_us` go into a record of its own, which the chain
        of commits has. Snapshots of the streams are deleted. `models` are those whose replicas have to be
        filled again: see `last_correction_of`.

        Raises, with certainly nothing written: CorrectionRefused, DamagedStore, StoreFull. Raises
        CommitFailed as `append` does. The writer's thread.
        """
        changes = sorted(changes)
        positions = {changed.position for changed in changes}
        if not changes or len(positions) < len(changes):
            raise CorrectionRefused("a correction changes at least one event, and each one once")
        kept = checked_notes(notes)
        with self._writing:
            self._require_writable()
            self._require_correctable(changes)
            self._flush_keys()
            return self._operation(changes, who, why, time_us, models, kept)

    def forget(
        self,
        subjects: Collection[str],
        *,
        who: str,
        why: str,
        time_us: int,
        models: Sequence[str] = (),
        inline: Collection[str] = (),
    ) -> int:
        """Destroy the keys of subjects, then record that as a correction that changes no event; its number.

        Notes have the ids of the keys. `models` are as for `correct`; `inline` are the inline models whose
        tables the next opening drops, so that they are filled again. Raises as `correct` does; the keys may
        be destroyed then. The writer's thread.
        """
        with self._writing:
            self._require_writable()
            if self._codec.sealer is None:
                raise StorageError(f"the log in {self.path} was opened without the keys of personal fields")
            notes: dict[bytes, bytes | None] = {
                DESTROYED_KEYS + id.hex().encode(): b"" for id in self._codec.sealer.destroy(subjects)
            }
            return self._operation((), who, why, time_us, models, notes, inline)

    def record_notes(self, notes: Iterable[Note], *, who: str, why: str, time_us: int) -> int:
        """Change notes, and record that as a correction that changes no event; returns its number.

        `who` and `why` are kept with it. Raises, with certainly nothing written: InvalidKey,
        UnencodableValue, DamagedStore, StoreFull; CommitFailed as `append` does. The writer's thread.
        """
        kept = checked_notes(notes)
        with self._writing:
            self._require_writable()
            self._flush_keys()
            return self._operation((), who, why, time_us, (), kept)

    def drop_snapshots(self, streams: Iterable[str]) -> None:
        """Delete the snapshots of these streams, whose states are folded from events again.

        Raises StorageError; CommitFailed as `append` does. The writer's thread.
        """
        with self._writing:
            self._require_writable()
            with self._changing("deleting snapshots in") as transaction:
                for stream in streams:
                    transaction.delete(name_key("stream", stream), db=self._databases["snapshots"])

    def _operation(
        self,
        changes: Sequence[ChangedEvent],
        who: str,
        why: str,
        time_us: int,
        models: Sequence[str],
        notes: Mapping[bytes, bytes | None],
        inline: Collection[str] = (),
    ) -> int:
        with self._changing("correcting the log in") as transaction:
            number, record = write_correction(
                transaction, self._databases, self._records, changes, who, why, time_us, self._head, models
            )
            digest = put_correction_link(
                transaction, self._databases, self._chain_end[1], self._head, number, record
            )
            write_notes(transaction, self._databases["notes"], dict(notes))
            if inline and self._inline is not None:
                self._inline.outdate(transaction, inline)
        self._chain_end = self._head, digest
        return number

    def forget_ids(self, before_us: int, keep: Callable[[str], bool], limit: int) -> ForgottenIds:
        """Remove records of commands whose events are from before a time, in microseconds since 1970 UTC.

        Looks at `limit` events after those of the last call; of an id that `keep` is true of, the record
        stays, and so does that of a command without events. Raises DamagedStore, StoreFull; CommitFailed as
        `append` does. The writer's thread.
        """
        with self._writing:
            self._require_writable()
            with self._changing("forgetting ids in the log in") as transaction:
                return forget_ids(
                    transaction,
                    self._databases,
                    self.history_id,
                    self._records,
                    self._tail.indexed,
                    before_us,
                    keep,
                    limit,
                )

    def _write(self, transaction: lmdb.Transaction[bytes], batch: Batch) -> None:
        """Put everything that does not wait in the tail.

        A separate method for the same reason as `_commit`.
        """
        databases = self._databases
        if batch.events and not _put_new(transaction, databases["events"], batch.events, append=True):
            raise OutOfOrder(
                f"a position of the batch is already in the log in {self.path}, or twice in the batch"
            )
        if batch.commands:
            known = self._tail.commands
            if any(key in known for key, _ in batch.commands) or not _put_new(
                transaction, databases["commands"], batch.sealed_commands(), append=False
            ):
                raise OutOfOrder(
                    f"a command id of the batch is already in the log in {self.path}, or twice in the batch"
                )
            position = self._head + len(batch.events)
            batch.digest = put_command_link(transaction, databases, batch.digest, position, batch.commands)
        for key, value in batch.snapshots:
            transaction.put(key, value, db=databases["snapshots"])
        if batch.notes:
            write_notes(transaction, databases["notes"], batch.notes)


def _put_new(
    transaction: lmdb.Transaction[bytes], database: lmdb._Database, items: Items, *, append: bool
) -> bool:
    """Put entries whose keys are new; whether all of them were."""
    if len(items) == 1:
        ((key, value),) = items
        return transaction.put(key, value, overwrite=False, append=append, db=database)
    with transaction.cursor(database) as cursor:
        return cursor.putmulti(items, overwrite=False, append=append)[1] == len(items)
