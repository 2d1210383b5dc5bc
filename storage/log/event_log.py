"""The event log: every event in commit order, indexed by stream and tag, with command ids and snapshots.

One thread writes, in batches that are on disk entirely or not at all. Any thread reads, each call in its own
short transaction, and sees what was committed. The time to open it does not depend on its length.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import lmdb

from storage.codec.codec import Codec
from storage.errors import CommitFailed, CorrectionRefused, OutOfOrder, StorageError, StoreClosed
from storage.files.arguments import checked_map_size, resolved_path
from storage.files.damage import file_identity
from storage.files.environment import DATA_FILE, open_environment
from storage.files.error_translation import commit_failed, from_system, translate
from storage.files.header import Header
from storage.files.open_store import open_store
from storage.files.opening_resources import ResourceSlot
from storage.files.page_check import DEFAULT_VERIFY_BYTES
from storage.files.rewriting import remove_leftovers
from storage.files.store_lock import StoreLock
from storage.log import records
from storage.log.batch import AggregateSnapshot, Batch, Items
from storage.log.chain import put_command_link, put_correction_link
from storage.log.corrections import ChangedEvent, write_correction
from storage.log.forgotten_ids import ForgottenIds, forget_ids
from storage.log.inline_batch import InlineBatch
from storage.log.inline_tables import max_databases
from storage.log.log_reader import LogReader
from storage.log.notes import Note, checked_notes, write_notes
from storage.log.read_gate import ReadGate
from storage.log.records import CommandRecord, Origin, RecordedEvent, name_key
from storage.log.take_over import Progress, take_over
from storage.log.unindexed_tail import check_new, write_tail
from storage.tables.schema import ModelSchema

DESTROYED_KEYS = b"store/destroyed/"
"""What the notes begin with that have the ids of destroyed keys: a key store that is older may have them."""
REMEMBERED_STREAMS = 10_000
"""Streams whose last version is remembered, so that their next events need no look-up in the index."""


class EventLog(LogReader):
    """The log in its own directory. Create one with `EventLog.open`; usable as a context manager.

    One thread, the writer's, calls `append` and `reopen`; any thread may call everything else.
    """

    def __init__(
        self,
        codec: Codec,
        path: Path,
        lock: StoreLock,
        environment: lmdb.Environment,
        header: Header,
        *,
        map_size: int | None,
        durable: bool,
        siblings: Collection[str] = (),
        inline: Sequence[ModelSchema] | None = None,
        check: Callable[[LogReader], None] | None = None,
    ) -> None:
        """Called by `open`, which says what the arguments mean."""
        super().__init__(codec, header, ReadGate(f"the log in {path}"), inline, f"the log in {path}")
        self.path = path
        self._lock = lock
        self._map_size = map_size
        self._durable = durable
        self._siblings = siblings
        self._uncertain = False
        self._closed = self._ended = False
        self._last_versions: dict[bytes, int] = {}
        # Held by the thread that changes the environment: close() may run in another thread than the
        # writer's. Reentrant, so that an interrupted close may be repeated.
        self._writing = threading.RLock()
        self._check = check
        self._attach(environment)

    def _attach(self, environment: lmdb.Environment) -> None:
        super()._attach(environment)
        self.opened_file = file_identity(self.path / DATA_FILE)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        codec: Codec,
        *,
        map_size: int | None = None,
        create: bool = True,
        durable: bool = True,
        siblings: Collection[str] = (),
        inline: Sequence[ModelSchema] | None = None,
        verify_bytes: int = DEFAULT_VERIFY_BYTES,
        progress: Progress | None = None,
        check: Callable[[LogReader], None] | None = None,
    ) -> Self:
        """Open the log in the directory `path`; create it if it is missing and `create` is true.

        `map_size` bounds the log in bytes and takes no disk; None chooses it by the size of the file and by
        the address space that is left. `durable=False` commits without waiting for the disk, for measurements
        and tests: a crash of the machine may then lose or damage the log. `siblings` names other files that
        may be in the directory. `inline` are the models whose tables `inline_batch` changes within `append`;
        tables of other models are dropped, unless it is None. After an unclean end that makes the file
        doubtful, it is checked before it is mapped: all of it up to `verify_bytes`, the top of a larger file,
        nothing for 0. `check` is called once with the log, before anything in it is changed, tables of inline
        models included; what it raises is raised.

        A log of an older format is first copied to this one, which needs as much free disk as it takes;
        `progress` is then called with the number of records that are copied, and of all.

        Raises StoreLocked, NotAStore, NewerFormat, DamagedStore or StoreReadOnly; the path is then unchanged.
        Raises StoreFull if the disk has no space; once it has, the next open works.
        """
        path = resolved_path(path)
        held: ResourceSlot[tuple[StoreLock, lmdb.Environment, Header]] = ResourceSlot(_release)
        try:
            held.resource = opened = open_store(
                path,
                Header.new("log"),
                take_over=partial(take_over, progress=progress),
                map_size=map_size,
                create=create,
                sync=durable,
                siblings=siblings,
                max_dbs=max_databases(inline),
                verify_bytes=verify_bytes,
            )
            remove_leftovers(path)
            return cls(
                codec,
                path,
                *opened,
                map_size=map_size,
                durable=durable,
                siblings=siblings,
                inline=inline,
                check=check,
            )
        except BaseException as error:
            held.release()
            if isinstance(error, OSError):
                raise from_system(error, f"{path} cannot be opened", path) from error
            raise

    # -- writing ---------------------------------------------------------------------------------------------
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
            transaction = self._begin()
            try:
                check_new(
                    transaction,
                    self._databases,
                    tail,
                    batch,
                    self._last_versions,
                    new_ids=new_ids or repeated_ids,
                )
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
            except lmdb.Error as error:
                transaction.abort()
                raise translate(error, f"appending to the log in {self.path}", self.path) from error
            except BaseException:
                transaction.abort()
                raise
            self._end(transaction)
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

    def drop_snapshots(self, streams: Iterable[str]) -> None:
        """Delete the snapshots of these streams, whose states are folded from events again.

        Raises StorageError; CommitFailed as `append` does. The writer's thread.
        """
        with self._writing:
            self._require_writable()
            transaction = self._begin()
            try:
                for stream in streams:
                    transaction.delete(name_key("stream", stream), db=self._databases["snapshots"])
            except lmdb.Error as error:
                transaction.abort()
                raise translate(error, f"deleting snapshots in {self.path}", self.path) from error
            except BaseException:
                transaction.abort()
                raise
            self._end(transaction)

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
        transaction = self._begin()
        try:
            number, record = write_correction(
                transaction, self._databases, self._records, changes, who, why, time_us, self._head, models
            )
            digest = put_correction_link(
                transaction, self._databases, self._chain_end[1], self._head, number, record
            )
            write_notes(transaction, self._databases["notes"], dict(notes))
            if inline and self._inline is not None:
                self._inline.outdate(transaction, inline)
        except lmdb.Error as error:
            transaction.abort()
            raise translate(error, f"correcting the log in {self.path}", self.path) from error
        except BaseException:
            transaction.abort()
            raise
        self._end(transaction)
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
            transaction = self._begin()
            try:
                done = forget_ids(
                    transaction,
                    self._databases,
                    self.history_id,
                    self._records,
                    self._tail.indexed,
                    before_us,
                    keep,
                    limit,
                )
            except lmdb.Error as error:
                transaction.abort()
                raise translate(error, f"forgetting ids in the log in {self.path}", self.path) from error
            except BaseException:
                transaction.abort()
                raise
            self._end(transaction)
            return done

    def reopen(self, *, map_size: int | None = None) -> None:
        """Close the log and open it again, to find out after CommitFailed what `head` is.

        Readers wait meanwhile. A larger `map_size` makes room in a log that was full. If it fails, the log
        stays unusable until another call succeeds. The writer's thread. Raises what `open` raises, except
        StoreLocked.
        """
        if map_size is not None:
            checked_map_size(map_size)
        with self._writing:
            if self._closed:
                raise StoreClosed(f"the log in {self.path} is closed")
            with self._gate.exclusive():
                self._require_in_place()
                self._map_size = map_size or self._map_size
                self._open_again()

    def _require_in_place(self) -> None:
        if not self._lock.in_place():
            raise StorageError(
                f"the log in {self.path} cannot be opened again: its directory was moved or "
                "replaced; close the log, and open it at its new path"
            )

    def _open_again(self, between: Callable[[], None] = lambda: None) -> None:
        """Close the environment, and open it again after `between`, whatever that raises. Within the gate."""
        self._uncertain = True
        self._last_versions.clear()
        self._detach()
        try:
            between()
        finally:
            environment = open_environment(
                self.path,
                map_size=self._map_size,
                max_dbs=max_databases(self._inline.models.values() if self._inline else ()),
                sync=self._durable,
                create=False,
                siblings=self._siblings,
            )
            self._attach(environment)
            self._uncertain = False

    # -- for a compaction ------------------------------------------------------------------------------------
    @property
    def read_gate(self) -> ReadGate:
        """What its reads are within; while a thread is in it, the environment stays open."""
        return self._gate

    def live_environment(self) -> lmdb.Environment:
        """The environment, to be used within the gate. Raises StoreClosed."""
        return self._live_environment()

    @contextmanager
    def no_commit(self, check: Callable[[], None]) -> Iterator[None]:
        """Keep the writer from committing during the block; waits for a commit to end.

        `check` is called while it waits, and what it raises is raised. Any thread.
        """
        while not self._writing.acquire(timeout=0.05):
            check()
        try:
            yield
        finally:
            self._writing.release()

    def replace_file(self, rename: Callable[[], None], patience: float) -> bool:
        """Close the log, have `rename` put another file of the same contents in its place, and open that.

        False, with nothing done, if a read does not end within `patience` seconds. The writer's thread.
        Raises what opening and `rename` do.
        """
        with self._writing:
            self._require_writable()
            self._require_in_place()
            entered = False
            try:
                with self._gate.exclusive(patience):
                    entered = True
                    self._replacing = True
                    self._open_again(rename)
            except StorageError:
                if entered:
                    raise
                return False
            finally:
                self._replacing = False
            return True

    def close(self) -> None:
        """Close the log once all calls in progress are done; a second call does nothing. Any thread.

        If interrupted, it can be called again.
        """
        with self._writing:
            if self._ended:
                return
            self._gate.close()
            self._closed = True
            try:
                self._index_tail()
                if self._environment is not None and not (self._durable or self._uncertain):
                    self._environment.sync(True)
            except lmdb.Error as error:
                raise translate(error, f"closing the log in {self.path}") from error
            finally:
                self._detach()
                self._lock.release()
            self._ended = True

    def moved(self) -> bool:
        """Whether the log's directory, or one above it, was moved or renamed since it was opened.

        Any thread.
        """
        return self._lock.moved()

    def abandon(self) -> None:
        """Close the log immediately, for an opening that failed. Nobody else may have it."""
        self._closed = self._ended = True
        if self._environment is not None:
            self._environment.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _index_tail(self) -> None:
        """Index the tail, so that the next opening need not read it. If this fails, that opening reads it."""
        if self._tail.count and not self._uncertain and self._environment is not None:
            with suppress(lmdb.Error), self._environment.begin(write=True) as transaction:
                write_tail(transaction, self._databases, self._tail)

    # -- inside ----------------------------------------------------------------------------------------------
    def _require_writable(self) -> None:
        if self._closed:
            raise StoreClosed(f"the log in {self.path} is closed")
        if self._uncertain:
            raise CommitFailed(
                f"the log in {self.path} cannot be written after a failed commit; call reopen() first"
            )

    def _flush_keys(self) -> None:
        """Have the keys of personal fields on disk before anything that they seal."""
        if self._codec.sealer is not None:
            self._codec.sealer.flush()

    def _begin(self) -> lmdb.Transaction[bytes]:
        try:
            return self._live_environment().begin(write=True)
        except lmdb.Error as error:
            raise translate(error, f"beginning to write to the log in {self.path}", self.path) from error

    def _end(self, transaction: lmdb.Transaction[bytes]) -> None:
        """Commit. Raises StoreFull, nothing having been written, or CommitFailed."""
        try:
            self._commit(transaction)
        except BaseException as error:
            with suppress(lmdb.Error):
                transaction.abort()
            # LMDB aborts when the map has no room for its list of free pages; anything else may have
            # happened after the commit reached the disk.
            if isinstance(error, lmdb.MapFullError):
                raise translate(error, f"appending to the log in {self.path}") from error
            self._uncertain = True
            if not isinstance(error, Exception):
                raise
            raise commit_failed(error, f"the log in {self.path}") from error

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

    def _commit(self, transaction: lmdb.Transaction[bytes]) -> None:
        """Commit. A separate method, so that a test can inject a fault before, after or instead of it."""
        transaction.commit()


def _put_new(
    transaction: lmdb.Transaction[bytes], database: lmdb._Database, items: Items, *, append: bool
) -> bool:
    """Put entries whose keys are new; whether all of them were."""
    if len(items) == 1:
        ((key, value),) = items
        return transaction.put(key, value, overwrite=False, append=append, db=database)
    with transaction.cursor(database) as cursor:
        return cursor.putmulti(items, overwrite=False, append=append)[1] == len(items)


def _release(opened: tuple[StoreLock, lmdb.Environment, Header]) -> None:
    lock, environment, _ = opened
    environment.close()
    lock.release()
