"""The reading half of the event log. Any thread; each call has its own short read transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path

from storage.codec.codec import Codec
from storage.errors import CodecError, DamagedStore, SnapshotClosed, StorageError
from storage.files.header import CHECKED_FORMAT, Header
from storage.log.archive_reads import ArchiveReads
from storage.log.chain import chain_end
from storage.log.correction_entries import CORRECTIONS, last_of_model, stored_event_digest
from storage.log.corrections import ChangedEvent, Correction, corrected_events, corrections
from storage.log.history import digest_of
from storage.log.inline_batch import InlineBatch
from storage.log.inline_snapshot import InlineSnapshot
from storage.log.lookup import found_record
from storage.log.notes import note_key, read_notes
from storage.log.read_gate import ReadGate
from storage.log.records import (
    U64,
    WITH_ORIGIN,
    CommandRecord,
    RecordedEvent,
    decode_command,
    fingerprint_of,
    name_key,
)
from storage.log.stored_events import StoredEvents
from storage.log.verification import LogCheck, verify_log
from storage.tables.schema import ModelSchema

logger = logging.getLogger("onewriter.log")

REMEMBERED_DIGESTS = 256


class LogReader(ArchiveReads):
    """Reads an open log; `EventLog` adds the writing, `LogFollower` follows another process that writes."""

    def __init__(
        self,
        codec: Codec,
        header: Header,
        gate: ReadGate,
        inline: Sequence[ModelSchema] | None,
        what: str,
        archives: Path,
    ) -> None:
        """As for `OpenLog`."""
        super().__init__(codec, header, gate, inline, what, archives)
        self._digests: list[tuple[int, bytes]] = [(0, b"")] * REMEMBERED_DIGESTS

    def read_commands(self, after: int, limit: int, until: int) -> Sequence[RecordedEvent]:
        """As `read`, but beyond `limit`, `until` and 64 MiB up to the last event of the last command.

        An event is decoded each time it is accessed, as `StoredEvents` says. One that cannot be decoded is an
        `Undecodable`.
        """
        values = self._values(after, limit, until, whole=True)
        if values and not self._has_corrections():
            self._remember(after + len(values), values[-1])
        return StoredEvents(self._codec, after, values)

    def commands_beside_events(self, after: str = "", limit: int = 1000) -> tuple[list[CommandRecord], str]:
        """Return records of commands that no event gives: of those without events, and of earlier formats.

        Looks at the `limit` command ids that follow `after`; also returns the last of them, "" at the end.
        """
        with self._reading() as transaction:
            items = read_notes(
                transaction,
                self._databases["commands"],
                b"",
                after.encode(),
                limit,
                self._records,
                "commands",
            )
        found = []
        for key, data in items:
            record = decode_command(self._codec, key.decode(), data)
            if record.first + max(record.count - 1, 0) > self._head:
                continue
            if not (record.count and self._begins_command(record.first)):
                found.append(record)
        return found, items[-1][0].decode() if items else ""

    def _begins_command(self, position: int) -> bool:
        """Whether an event gives the record of its command; of a damaged one nobody knows."""
        with suppress(DamagedStore), self._reading() as transaction:
            stored = transaction.get(U64.pack(position), db=self._databases["events"])
            return stored is not None and self._records.outline(position, stored).startswith(WITH_ORIGIN)
        return False

    def digest(self, position: int) -> bytes:
        """Return the digest of the event at a position; empty if there is none, or it cannot be read.

        For the last event of a batch that was committed or read recently it costs nothing. A correction does
        not change it.
        """
        known, digest = self._digests[position % REMEMBERED_DIGESTS]
        if known == position:
            return digest
        with suppress(StorageError), self._reading() as transaction:
            return stored_event_digest(transaction, self._databases, self._records, position)
        return b""

    def _remember(self, position: int, record: bytes) -> None:
        # Each entry is one pair, so that threads need no lock.
        self._digests[position % REMEMBERED_DIGESTS] = position, digest_of(record)

    def _has_corrections(self) -> bool:
        """Whether any event was corrected, so that its bytes may give another digest than its own."""
        if CORRECTIONS not in self._databases:
            return False
        with self._reading() as transaction:
            return bool(transaction.stat(self._databases[CORRECTIONS])["entries"])

    def command(self, command_id: str) -> CommandRecord | None:
        """Return the record of a command, or None if the log does not know its id. Raises InvalidKey."""
        key = name_key("command id", command_id)
        data = self._current_tail().commands.get(key)
        if data is None:
            with self._reading() as transaction:
                data = found_record(transaction, self._databases["commands"], "commands", key, self._records)
        return None if data is None else decode_command(self._codec, command_id, data)

    def snapshot(self, stream: str) -> tuple[int, str, object] | None:
        """Return version, fingerprint and state of a stream's snapshot, or None if there is no usable one.

        A snapshot that cannot be decoded, because one of its classes changed, is not usable; nor is a damaged
        one, with a warning in the log `onewriter.log`: the state is folded from the events.
        """
        key = name_key("stream", stream)
        with self._reading() as transaction:
            data = transaction.get(key, db=self._databases["snapshots"])
        if data is not None:
            try:
                version, fingerprint, state = self._codec.decode(self._records.record("snapshots", key, data))
                return version, fingerprint, state
            except DamagedStore as error:
                logger.warning("%s", error)
            except (CodecError, ValueError, TypeError):
                pass
        return None

    def outdated_inline_models(self) -> list[str]:
        """The inline models whose tables show what was forgotten, until the log is opened again."""
        return [] if self._inline is None else sorted(self._inline.outdated)

    def snapshot_streams(self, but: Collection[str]) -> list[str]:
        """The streams that have a snapshot, but for those of states with one of these fingerprints."""
        found = []
        with (
            self._reading() as transaction,
            transaction.cursor(self._databases["snapshots"]) as cursor,
        ):
            for key, data in cursor:
                with suppress(DamagedStore, CodecError, ValueError):
                    if fingerprint_of(self._records.record("snapshots", key, data)) in but:
                        continue
                found.append(bytes(key).decode())
        return found

    def note(self, key: bytes) -> bytes | None:
        """Return the value of a note, or None if there is none of this key. Raises InvalidKey, KeyTooLong."""
        note_key(key)
        with self._reading() as transaction:
            return found_record(transaction, self._databases["notes"], "notes", key, self._records)

    def notes(self, prefix: bytes, after: bytes = b"", limit: int | None = None) -> list[tuple[bytes, bytes]]:
        """Return notes with keys that begin with `prefix` and are after `after`, by key; at most `limit`."""
        with self._reading() as transaction:
            return read_notes(transaction, self._databases["notes"], prefix, after, limit, self._records)

    def inline_positions(self) -> dict[str, int]:
        """Return the position of each inline model; a new or changed model begins at 0."""
        if self._inline is None or not self._inline.models:
            return {}
        with self._reading() as transaction:
            return self._inline.positions(transaction)

    def inline_batch(self) -> InlineBatch | None:
        """Return the inline tables for changes that go into the next `append`; None if there are none.

        The writer's thread.
        """
        return None if self._inline is None or not self._inline.models else self._inline.batch()

    def inline_snapshot(self, *, closed: type[SnapshotClosed] = SnapshotClosed) -> InlineSnapshot:
        """Return the inline tables as they are committed; `closed` is the error for a use after their end.

        Raises StoreClosed; StorageError if the log was opened without inline models, or with too many
        readers.
        """
        if self._inline is None or not self._inline.models:
            raise StorageError("the log was opened without inline models; name them when you open it")
        return self._inline.snapshot(closed)

    def chain_head(self) -> tuple[int, str]:
        """Return the head and the digest of the chain there, 64 hexadecimal digits.

        Keep both elsewhere: `verify` finds out later whether the log up to there is still the same. Raises
        StorageError for a log of format 1 or 2, which has no chain.
        """
        if not self._records.checked:
            raise StorageError(
                f"{self._records.what} has format {self._header.format}, and a chain begins with format "
                f"{CHECKED_FORMAT}: open it for writing once"
            )
        head = self._head
        with self._reading() as transaction:
            digest = chain_end(transaction, self._databases, self.first_history_id, head, self._records)
        return head, digest.hex()

    def verify(
        self, chain: tuple[int, str] | None = None, progress: Callable[[int, int], None] | None = None
    ) -> LogCheck:
        """Read all records, the chain and the indexes, as they are on disk now, and return what is wrong.

        `chain` is a former result of `chain_head`. `progress` is called with the number of events that were
        read, and of all. It takes about 15 seconds for a million events, in which no page that it may still
        read is used again. Raises ValueError for a `chain` that cannot be one.
        """
        with self.transaction() as log:
            return verify_log(log, self._header, chain=chain, progress=progress)

    def corrections(self) -> list[Correction]:
        """Return all corrections, in the order in which they were made. Raises DamagedStore."""
        with self._reading() as transaction:
            return corrections(transaction, self._databases, self._records)

    def corrected_events(self, number: int, after: int = 0, limit: int = 1000) -> list[ChangedEvent]:
        """Return the events of a correction after a position: their bytes before it and right after it.

        Raises CorrectionRefused if there is no such correction; DamagedStore.
        """
        with self._reading() as transaction:
            return corrected_events(transaction, self._databases, self._records, number, after, limit)

    def last_correction_of(self, model: str) -> int:
        """Return the number of the last correction that concerns a model, 0 for none. Raises DamagedStore."""
        with self._reading() as transaction:
            return last_of_model(transaction, self._databases, self._records, model)
