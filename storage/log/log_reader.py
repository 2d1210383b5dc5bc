"""The reading half of the event log. Any thread; each call has its own short read transaction.

Values are copied out within the transaction and decoded after it, so that slow decoding blocks nothing.
Events after `head` are not shown: what a failed commit may have left is invisible until the log is reopened.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice, takewhile
from pathlib import Path

import lmdb

from storage.codec.codec import Codec
from storage.errors import CodecError, DamagedStore, SnapshotClosed, StorageError, StoreClosed
from storage.files.error_translation import translate
from storage.files.header import CHECKED_FORMAT, Header
from storage.log.chain import chain_end
from storage.log.corrections import (
    CORRECTIONS,
    ChangedEvent,
    Correction,
    corrected_events,
    corrections,
    first_bytes,
    last_of_model,
)
from storage.log.history import digest_of
from storage.log.index_reads import (
    check_stream,
    check_stream_end,
    check_tag,
    events_of_stream,
    events_of_tag,
    of_stream,
    with_tag,
)
from storage.log.inline_batch import InlineBatch
from storage.log.inline_snapshot import InlineSnapshot
from storage.log.inline_tables import InlineTables
from storage.log.log_databases import DATABASES, malformed_index, open_databases
from storage.log.lookup import found_record
from storage.log.notes import note_key, read_notes
from storage.log.read_gate import ReadGate
from storage.log.record_filter import RecordFilter
from storage.log.record_format import RecordFormat
from storage.log.records import (
    U64,
    WITH_ORIGIN,
    CommandRecord,
    RecordedEvent,
    command_of,
    decode_command,
    name_key,
)
from storage.log.stored_events import StoredEvents, decode_event, decode_event_or_why, decoded, own_copy
from storage.log.unindexed_tail import AFTER_ALL_VERSIONS, UnindexedTail, last_version, streams_from
from storage.log.verification import LogCheck, verify_log
from storage.tables.schema import ModelSchema

logger = logging.getLogger("onewriter.log")

REMEMBERED_DIGESTS = 256

READ_BYTES = 64 << 20
"""How many bytes one call of `read` copies at most, not counting its last event."""

SCANNED_EVENTS = 2_000
"""How many events one call of `scan` looks through at most."""

StoredRecord = tuple[int, bytes]
"""The position of an event, and its stored bytes."""


class LogReader:
    """Reads an open log; `EventLog` adds the writing, `LogFollower` follows another process that writes."""

    path: Path
    """The log's directory."""

    def __init__(
        self, codec: Codec, header: Header, gate: ReadGate, inline: Sequence[ModelSchema] | None, what: str
    ) -> None:
        """`inline` are the models with tables in the log; None leaves existing tables alone."""
        self._header = header
        self._records = RecordFormat(header.format, what)
        self._codec = codec
        self._gate = gate
        self._inline = (
            None if inline is None else InlineTables(inline, codec, what, gate, self._live_environment)
        )
        self._environment: lmdb.Environment | None = None
        self._databases: dict[str, lmdb._Database] = {}
        self._head = 0
        self._chain_end = 0, b""
        self._tail = UnindexedTail(0)
        self._check: Callable[[LogReader], None] | None = None
        self._digests: list[tuple[int, bytes]] = [(0, b"")] * REMEMBERED_DIGESTS

    @property
    def codec(self) -> Codec:
        """The codec that it decodes with."""
        return self._codec

    @property
    def head(self) -> int:
        """The last committed position, 0 in an empty log; costs nothing."""
        return self._head

    @property
    def history_id(self) -> str:
        """The identity of this log's history, 32 hexadecimal digits."""
        return self._header.history_id

    def moved(self) -> bool:
        """Whether the log's directory, or one above it, was moved or renamed since it was opened.

        Any thread.
        """
        raise NotImplementedError

    def read(self, after: int = 0, limit: int = 1000, until: int | None = None) -> list[RecordedEvent]:
        """Return the events from position after + 1 on, in order, through `until`, but at most `limit`.

        If they are large (64 MiB together) fewer are returned, but at least one if there is one. So a short
        list does not mean the end; compare its last position.

        `limit` counts positions. Events that upcasters made of one have its position; one that they dropped
        is `DROPPED`.

        Raises UnknownType or CodecError for an event that cannot be decoded, StoreClosed.
        """
        return decoded(self._codec, enumerate(self._values(after, limit, until), after + 1))

    def read_commands(self, after: int, limit: int, until: int) -> Sequence[RecordedEvent]:
        """As `read`, but beyond `limit`, `until` and 64 MiB up to the last event of the last command.

        An event is decoded each time it is accessed, as `StoredEvents` says. One that cannot be decoded is an
        `Undecodable`.
        """
        values = self._values(after, limit, until, whole=True)
        if values and not self._has_corrections():
            self._remember(after + len(values), values[-1])
        return StoredEvents(self._codec, after, values)

    def records(self, after: int, limit: int, until: int | None = None) -> list[bytes]:
        """As `read`, but return the stored bytes of the events, of which nothing is decoded or checked."""
        return self._values(after, limit, until)

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
            first: list[bytes] = []
            # Of a damaged event nobody knows whether it gives the record.
            with suppress(DamagedStore):
                first = self._values(record.first - 1, 1, None) if record.count else []
            if not (first and first[0].startswith(WITH_ORIGIN)):
                found.append(record)
        return found, items[-1][0].decode() if items else ""

    # -- without decoding ------------------------------------------------------------------------------------
    def record_filter(
        self, types: Collection[str] = (), stream: str = "", category: str = ""
    ) -> RecordFilter:
        """A filter of stored events for `scan`; `types` are the names of events, without versions.

        Nothing given stands for anything. Of types with upcasters it finds all, since these may make others.
        """
        return RecordFilter(self._codec.sources_of(types), stream, category)

    def scan(
        self, wanted: RecordFilter | None, after: int, limit: int, until: int
    ) -> tuple[list[StoredRecord], int]:
        """Return the next `limit` wanted events after a position, not decoded, and how far it looked.

        It looks at `SCANNED_EVENTS` events or 64 MiB, through `until`: an empty list does not mean that there
        are none.
        """
        values = self._values(after, SCANNED_EVENTS if wanted is not None else limit, until)
        indexes: Sequence[int] = range(len(values)) if wanted is None else wanted.indexes(values)
        first, through = after + 1, after + len(values)
        if len(indexes) > limit:
            indexes = indexes[:limit]
            through = first + indexes[-1]
        return [(first + index, values[index]) for index in indexes], through

    def stream_records(self, stream: str, after_version: int, limit: int | None = None) -> list[StoredRecord]:
        """As `read_stream`, not decoded. Raises DamagedStore as well."""
        name, tail, head = name_key("stream", stream), self._current_tail(), self._head
        with self._reading() as transaction:
            found = events_of_stream(
                transaction, self._databases, tail, self._records, name, after_version, limit, head
            )
        check_stream(self._records, name, after_version, found)
        return found

    def tag_records(self, tag: str, after: int, limit: int | None = None) -> list[StoredRecord]:
        """As `read_tag`, not decoded; nobody has checked yet that they have the tag."""
        name, tail, head = name_key("tag", tag), self._current_tail(), self._head
        with self._reading() as transaction:
            return events_of_tag(transaction, self._databases, tail, self._records, name, after, limit, head)

    def check_tag(self, tag: str, records: Sequence[StoredRecord]) -> None:
        """Raise DamagedStore if one of these records, which nobody decodes, lacks the tag."""
        check_tag(self._records, tag.encode(), records)

    def decode_records(
        self, records: Sequence[StoredRecord], *, tag: str = "", undecodable: bool = False
    ) -> tuple[list[RecordedEvent], int, CodecError | None]:
        """The events of records up to the first that cannot be decoded, how many records, and its error.

        With `undecodable` it is an `Undecodable`, and the others follow. There are more events than records
        if upcasters made several of one; one that they dropped is `DROPPED`. Raises DamagedStore if one lacks
        the `tag`.
        """
        codec = self._codec
        decode = decode_event_or_why if undecodable else decode_event
        events: list[RecordedEvent] = []
        number = 0
        try:
            for position, data in records:
                found = decode(codec, position, data)
                if isinstance(found, list):
                    events += found
                else:
                    events.append(found)
                number += 1
        except CodecError as error:
            return events, number, error
        if tag and not all(tag in recorded.tags for recorded in events):
            check_tag(self._records, tag.encode(), records)
        return events, number, None

    def digest(self, position: int) -> bytes:
        """Return the digest of the event at a position; empty if there is none, or it cannot be read.

        For the last event of a batch that was committed or read recently it costs nothing. A correction does
        not change it.
        """
        known, digest = self._digests[position % REMEMBERED_DIGESTS]
        if known == position:
            return digest
        with suppress(StorageError), self._reading() as transaction:
            first = first_bytes(transaction, self._databases, self._records, position)
            if first is not None:
                return digest_of(first)
            data = transaction.get(U64.pack(position), db=self._databases["events"])
            return b"" if data is None else digest_of(self._records.event(position, data))
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

    def _values(self, after: int, limit: int, until: int | None, whole: bool = False) -> list[bytes]:
        head = self._head
        count = min(limit, (head if until is None else min(until, head)) - after)
        if count <= 0:
            return []
        first = after + 1
        records = self._records
        with self._reading() as transaction, transaction.cursor(self._databases["events"]) as cursor:
            if not cursor.set_range(U64.pack(first)) or cursor.key() != U64.pack(first):
                raise DamagedStore(f"position {first} is missing from the log; restore a backup")
            following = cursor.iternext(keys=False)
            values, damaged = records.events(first, islice(following, count), READ_BYTES)
            more = head - after - len(values)
            if whole and more and damaged is None:
                command = command_of(values[-1])
                rest = enumerate(islice(following, more), first + len(values))
                opened = (records.event(position, value) for position, value in rest)
                values += takewhile(lambda value: command_of(value) == command, opened)
        if damaged is not None:
            # Those before it can be used, but not the first half of a command.
            if whole and values:
                command = command_of(values[-1])
                while values and command_of(values[-1]) == command:
                    values.pop()
            if not values:
                raise records.damaged_event(damaged)
        return values

    def own(self, recorded: RecordedEvent) -> RecordedEvent:
        """Return an event that was read, or a copy of it if somebody could change its contents."""
        return own_copy(self._codec, recorded)

    def read_stream(
        self, stream: str, after_version: int = 0, limit: int | None = None
    ) -> list[RecordedEvent]:
        """Return a stream's events from version after_version + 1 on, in order; all of them without a limit.

        Raises InvalidKey, and what `read` does.
        """
        found = self._records_in_stream(stream, after_version, limit)
        return of_stream(self._codec, self._records, stream, after_version, found)

    def positions_in_stream(self, stream: str, after_version: int = 0, limit: int | None = None) -> list[int]:
        """As `read_stream`, but return the positions alone; nothing is decoded."""
        return [position for position, _ in self._records_in_stream(stream, after_version, limit)]

    def _records_in_stream(
        self, stream: str, after_version: int, limit: int | None
    ) -> list[tuple[int, bytes]]:
        name, tail, head = name_key("stream", stream), self._current_tail(), self._head
        with self._reading() as transaction:
            return events_of_stream(
                transaction, self._databases, tail, self._records, name, after_version, limit, head
            )

    def read_tag(self, tag: str, after: int = 0, limit: int | None = None) -> list[RecordedEvent]:
        """Return the events with a tag from position after + 1 on; all of them without a limit.

        Raises InvalidKey, and what `read` does.
        """
        name, tail, head = name_key("tag", tag), self._current_tail(), self._head
        with self._reading() as transaction:
            found = events_of_tag(transaction, self._databases, tail, self._records, name, after, limit, head)
        return with_tag(self._codec, self._records, tag, found)

    def stream_version(self, stream: str) -> int:
        """Return the version of a stream's last event, 0 if it has none. Raises InvalidKey."""
        name, tail = name_key("stream", stream), self._current_tail()
        known = tail.versions.get(name + b"\0")
        if known is not None:
            return known
        with self._reading() as transaction, transaction.cursor(self._databases["streams"]) as cursor:
            version = last_version(cursor, tail, name)
            if self._records.checked:
                cursor.set_range(name + AFTER_ALL_VERSIONS)
                check_stream_end(
                    transaction, self._databases, cursor, name + b"\0", version, self._records, bool(version)
                )
            return version

    def streams(self, prefix: str = "", limit: int = 1000, after: str = "") -> list[tuple[str, int]]:
        """Return names and versions of streams in the order of names: those with `prefix`, and after `after`.

        It costs two look-ups for each stream, however many events the stream has.
        """
        tail = self._current_tail()
        with self._reading() as transaction, transaction.cursor(self._databases["streams"]) as cursor:
            return streams_from(cursor, tail, prefix.encode(), after.encode(), limit)

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

    def note(self, key: bytes) -> bytes | None:
        """Return the value of a note, or None if there is none of this key. Raises InvalidKey, KeyTooLong."""
        note_key(key)
        with self._reading() as transaction:
            return found_record(transaction, self._databases["notes"], "notes", key, self._records)

    def notes(self, prefix: bytes, after: bytes = b"", limit: int | None = None) -> list[tuple[bytes, bytes]]:
        """Return notes with keys that begin with `prefix` and are after `after`, by key; at most `limit`."""
        with self._reading() as transaction:
            return read_notes(transaction, self._databases["notes"], prefix, after, limit, self._records)

    # -- inline models ---------------------------------------------------------------------------------------
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

    # -- the chain -------------------------------------------------------------------------------------------
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
            digest = chain_end(transaction, self._databases, self.history_id, head, self._records)
        return head, digest.hex()

    def verify(
        self, chain: tuple[int, str] | None = None, progress: Callable[[int, int], None] | None = None
    ) -> LogCheck:
        """Read all records, the chain and the indexes, as they are on disk now, and return what is wrong.

        `chain` is a former result of `chain_head`. `progress` is called with the number of events that were
        read, and of all. It takes about 15 seconds for a million events, in which no page that it may still
        read is used again. Raises ValueError for a `chain` that cannot be one.
        """
        with self._reading() as transaction:
            return verify_log(
                transaction, self._databases, self._header, self._records, chain=chain, progress=progress
            )

    # -- corrections -----------------------------------------------------------------------------------------
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

    # -- the whole -------------------------------------------------------------------------------------------
    def stats(self) -> dict[str, int]:
        """Return the number of entries of each database, the log's size and map in bytes, and its readers."""
        waiting = self._current_tail().sizes()
        with self._reading() as transaction:
            numbers = {
                name: transaction.stat(self._databases[name])["entries"] + waiting.get(name, 0)
                for name in DATABASES
            }
            environment = self._live_environment()
            info = environment.info()
            page = environment.stat()["psize"]
        return {
            **numbers,
            "bytes": (info["last_pgno"] + 1) * page,
            "map_bytes": info["map_size"],
            "readers": info["num_readers"],
        }

    def reader_check(self) -> int:
        """Free the slots of readers whose processes died, so that pages can be reused; return how many."""
        with self._gate:
            return self._live_environment().reader_check()

    # -- inside ----------------------------------------------------------------------------------------------
    def _current_tail(self) -> UnindexedTail:
        """The tail up to at least the head; take it before you begin a transaction that reads the indexes."""
        return self._tail

    def _attach(self, environment: lmdb.Environment) -> None:
        """Read from this environment from now on; if that is not possible, it is closed."""
        try:
            self._databases, self._head, self._tail, digest = open_databases(
                environment, self.history_id, self._records
            )
            self._chain_end = self._head, digest
            if self._check is not None:
                self._environment = environment
                self._check(self)
                self._check = None
            if self._inline is not None:
                self._inline.attach(environment, self._head)
        except lmdb.Error as error:
            path = environment.path()
            environment.close()
            raise translate(error, f"opening the log in {path}", path) from error
        except DamagedStore:
            environment.close()
            raise
        self._environment = environment

    def _detach(self) -> None:
        """Close the environment; no reader may be in the gate."""
        if self._inline is not None:
            self._inline.detach()
        if self._environment is not None:
            self._environment.close()
            self._environment = None

    def _live_environment(self) -> lmdb.Environment:
        """The environment to read from; use it within the gate. Raises StoreClosed."""
        if self._environment is None:
            raise StoreClosed("the log is not open since reopening it failed; call reopen() again")
        return self._environment

    @contextmanager
    def _reading(self) -> Iterator[lmdb.Transaction[bytes]]:
        with self._gate:
            try:
                with self._live_environment().begin() as transaction:
                    yield transaction
            except lmdb.Error as error:
                raise translate(error, "reading the log") from error
            except struct.error as error:
                raise malformed_index(error) from error
