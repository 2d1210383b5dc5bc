"""A log that is open for writing: opening, reopening and closing its file, and its write transactions.

The writer's thread, where nothing else is said.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import lmdb

from storage.archive.archives import ARCHIVES_FOLDER
from storage.codec.codec import Codec
from storage.errors import CommitFailed, StorageError, StoreClosed
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
from storage.log.inline_tables import max_databases
from storage.log.log_reader import LogReader
from storage.log.read_gate import ReadGate
from storage.log.take_over import Progress, take_over
from storage.log.unindexed_tail import write_tail
from storage.tables.schema import ModelSchema

__all__ = ["WritableLog"]


class WritableLog(LogReader):
    """The base of `EventLog`, which says what is written."""

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
        archives_path: Path | None = None,
    ) -> None:
        """Called by `open`, which says what the arguments mean."""
        what = f"the log in {path}"
        archives = path / ARCHIVES_FOLDER if archives_path is None else archives_path
        super().__init__(codec, header, ReadGate(what), inline, what, archives)
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
        self._finish_opening()

    def _finish_opening(self) -> None:
        """Do what is left to do once it is open."""

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
        archives_path: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Open the log in the directory `path`; create it if it is missing and `create` is true.

        `map_size` bounds the log in bytes and takes no disk; None chooses it by the size of the file and by
        the address space that is left. `durable=False` commits without waiting for the disk, for measurements
        and tests: a crash of the machine may then lose or damage the log. `siblings` names other files that
        may be in the directory. `inline` are the models whose tables `inline_batch` changes within `append`;
        tables of other models are dropped, unless it is None. After an unclean end that makes the file
        doubtful, it is checked before it is mapped: all of it up to `verify_bytes`, the top of a larger file,
        nothing for 0. `check` is called once with the log, before anything in it is changed, tables of inline
        models included; what it raises is raised. `archives_path` is the folder of the files of archives,
        `archives` in `path` unless it is given.

        A log of an older format is first copied to this one, which needs as much free disk as it takes;
        `progress` is then called with the number of records that are copied, and of all.

        Raises StoreLocked, NotAStore, NewerFormat, DamagedStore or StoreReadOnly; the path is then unchanged.
        Raises StoreFull if the disk has no space; once it has, the next open works.
        """
        path = resolved_path(path)
        archives = None if archives_path is None else resolved_path(archives_path)
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
                archives_path=archives,
            )
        except BaseException as error:
            held.release()
            if isinstance(error, OSError):
                raise from_system(error, f"{path} cannot be opened", path) from error
            raise

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

    # -- ending ----------------------------------------------------------------------------------------------
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

    # -- transactions ----------------------------------------------------------------------------------------
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

    @contextmanager
    def _changing(self, doing: str) -> Iterator[lmdb.Transaction[bytes]]:
        """A transaction that is committed after the block, and aborted if that raises.

        Raises what `_begin` and `_end` do, and LMDB's errors as those of `doing` something to the log.
        """
        transaction = None
        try:
            transaction = self._begin()
            yield transaction
            # Within the block: an interrupt just before it must not leave the transaction open.
            self._end(transaction)
        except BaseException as error:
            if transaction is not None:
                with suppress(lmdb.Error):
                    transaction.abort()
            if isinstance(error, lmdb.Error):
                raise translate(error, f"{doing} {self.path}", self.path) from error
            raise

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

    def _commit(self, transaction: lmdb.Transaction[bytes]) -> None:
        """Commit. A separate method, so that a test can inject a fault before, after or instead of it."""
        transaction.commit()


def _release(opened: tuple[StoreLock, lmdb.Environment, Header]) -> None:
    lock, environment, _ = opened
    environment.close()
    lock.release()
