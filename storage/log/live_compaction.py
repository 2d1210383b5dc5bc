"""Rewriting the file of an open log while commands go on. The caller's thread; the writer's at its end.

The file is copied as of one commit. What was committed meanwhile is found by the pages that changed, and
written to the copy, again and again until little is left. Then the writer stops between two batches: the rest
follows, and the copy takes the file's place by one rename. A process that dies leaves either file whole.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import lmdb

from storage.errors import DamagedStore, StorageError
from storage.files.environment import DATA_FILE, READERS_FILE
from storage.files.erasing import erase_file
from storage.files.error_translation import from_system, translate
from storage.files.followed_copy import FollowedCopy
from storage.files.lmdb_pages import BrokenPage, Meta, PageFile
from storage.files.opening_resources import Descriptor, sync_directory
from storage.files.piped_copy import copy_environment
from storage.files.rewriting import NEW_FILE, OLD_FILE, others_reading, remove_leftovers
from storage.files.tree_diff import changes_between
from storage.log.checksums import opened_record, sealed_record
from storage.log.compaction import ChangedNote
from storage.log.event_log import EventLog

__all__ = ["Compaction", "LiveCompaction", "Progress"]

logger = logging.getLogger("onewriter.log")

SHORT = 0.02
"""Seconds that what was committed meanwhile may take to write when the writer is stopped."""
ROUNDS = 20
PATIENCE = 0.5
"""Seconds that the writer waits at the end for reads of the log that are in progress; then it goes on, and it
is tried again."""
ATTEMPTS = 1000
BETWEEN = 0.2
"""Seconds between two attempts."""

Progress = Callable[[int, int], None]
"""Called with the bytes that are copied, and about how many it will be."""


class Compaction(NamedTuple):
    """What compacting a log did: bytes of its file before and after, seconds that it took, and that commands
    waited for its end.

    `erased`: the old file was overwritten before it was removed. It is only removed if another process read
    it.
    """

    before: int
    after: int
    seconds: float
    waited: float
    erased: bool


class _Pinned(NamedTuple):
    """A state of the log whose pages stay as they are."""

    transaction: lmdb.Transaction[bytes]
    meta: Meta


class LiveCompaction:
    """One compaction of an open log. `run` does all of it, once."""

    def __init__(self, log: EventLog, note: bytes, changed: ChangedNote) -> None:
        """`changed` gives the value that the note of the key `note` has in the new file."""
        self._log = log
        self._path = log.path
        self._data, self._new = log.path / DATA_FILE, log.path / NEW_FILE
        self._note = note
        self._changed = changed
        self._inside = False
        self._others = False
        self._readers: Descriptor | None = None
        self._waited = 0.0

    def run(
        self, between_batches: Callable[[Callable[[], bool]], bool], timeout: float, progress: Progress
    ) -> Compaction:
        """Compact the log. `between_batches` calls what it is given in the writer's thread, and returns what
        that does.

        Raises StorageError if reads of the log leave no moment for the end within `timeout` seconds after the
        copy, or the log is closed or opened again meanwhile; StoreFull; DamagedStore. The log is as it was
        then.
        """
        began = time.monotonic()
        try:
            before, erased = self._compact(between_batches, timeout, progress)
        except (lmdb.Error, OSError, BrokenPage, struct.error) as error:
            raise self._translated(error) from error
        finally:
            if self._readers is not None:
                self._readers.close()
            # Nothing, unless it failed.
            with suppress(StorageError):
                remove_leftovers(self._path)
        after = self._data.stat().st_size
        seconds = time.monotonic() - began
        logger.info(
            "the log in %s was compacted from %d to %d bytes in %.1f s; commands waited %.0f ms",
            self._path,
            before,
            after,
            seconds,
            1000 * self._waited,
        )
        return Compaction(before, after, round(seconds, 3), round(self._waited, 4), erased)

    def _compact(
        self, between_batches: Callable[[Callable[[], bool]], bool], timeout: float, progress: Progress
    ) -> tuple[int, bool]:
        """Do it; returns the bytes before, and whether the old file was erased."""
        remove_leftovers(self._path)
        before = self._data.stat().st_size
        with self._data.open("rb") as opened:
            self._pages = PageFile(opened.fileno())
            self._enter()
            try:
                self._copy(progress)
                self._replace(between_batches, timeout)
            finally:
                self._leave()
        old = self._path / OLD_FILE
        # Overwriting it would end a process that reads it.
        erased = old.exists() and not self._is_read()
        if erased:
            erase_file(old)
        else:
            old.unlink(missing_ok=True)
        sync_directory(self._path)
        return before, erased

    def _is_read(self) -> bool:
        """Whether another process has the old file open: each has a lock on the table of readers."""
        readers = self._readers
        if readers is None:
            return True
        try:
            fcntl.lockf(readers.number, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
        except OSError:
            return True
        return False

    def _translated(self, error: Exception) -> StorageError:
        what = f"the log in {self._path} cannot be compacted"
        if isinstance(error, lmdb.Error):
            return translate(error, what, self._path)
        if isinstance(error, OSError):
            return from_system(error, what, self._path)
        return DamagedStore(f"{what}: {error}; see what `onewriter verify` says")

    # -- within the log's gate, so that it stays open ----------------------------------------
    def _enter(self) -> None:
        self._gate = self._log.read_gate
        self._gate.__enter__()
        self._inside = True

    def _leave(self) -> None:
        if self._inside:
            self._inside = False
            self._unpin()
            self._gate.__exit__(None, None, None)

    def _unpin(self) -> None:
        base = getattr(self, "_base", None)
        if base is not None:
            base.transaction.abort()
            del self._base

    def _check(self) -> None:
        """Raise StorageError if somebody waits to close the log, or to open it again."""
        if self._gate.wanted:
            raise StorageError(
                f"the log in {self._path} was closed or opened again while it was compacted; nothing was "
                "changed: compact it again"
            )

    def _pin(self) -> _Pinned:
        environment = self._log.live_environment()
        for _ in range(ATTEMPTS):
            transaction = environment.begin()
            meta = self._pages.meta_of(transaction.id())
            if meta is not None:
                return _Pinned(transaction, meta)
            transaction.abort()
        raise StorageError(f"{self._data} changes too fast to be read; compact it again")

    # -- the copy ----------------------------------------------------------------------------
    def _copy(self, progress: Progress) -> None:
        total = self._data.stat().st_size
        copy_environment(
            self._log.live_environment(),
            self._new,
            beginning=self._beginning(),
            check=self._check,
            copied=lambda done: progress(min(done, total), total),
        )
        progress(total, total)

    @contextmanager
    def _beginning(self) -> Iterator[None]:
        # Without a commit in between, what is pinned is the state that is copied.
        with self._log.no_commit(self._check):
            self._base = self._pin()
            yield

    # -- what was committed meanwhile --------------------------------------------------------
    def _catch_up(self, copy: FollowedCopy) -> float:
        """Bring the copy to what is committed now; returns the seconds that this took."""
        began = time.monotonic()
        base, now = self._base, self._pin()
        try:
            for one in changes_between(self._pages, base.meta, now.meta):
                copy.write(one)
        except BaseException:
            now.transaction.abort()
            raise
        base.transaction.abort()
        self._base = now
        return time.monotonic() - began

    # -- the end -----------------------------------------------------------------------------
    def _replace(self, between_batches: Callable[[Callable[[], bool]], bool], timeout: float) -> None:
        end = None
        while True:
            with FollowedCopy(self._new) as copy:
                taken = 0.0
                for _ in range(ROUNDS):
                    self._check()
                    last, taken = taken, self._catch_up(copy)
                    if taken < SHORT or (last and taken > last / 2):
                        break
                copy.sync()
            if between_batches(self._finish):
                return
            now = time.monotonic()
            end = now + timeout if end is None else end
            if now > end:
                raise StorageError(
                    f"the log in {self._path} was not compacted: there was no moment without a long read of "
                    f"it, such as of verify or a backup, within {timeout:g} s; compact it again"
                )
            self._check()
            threading.Event().wait(BETWEEN)

    def _finish(self) -> bool:
        """Replace the file; False, with everything as before, if a read does not end. The writer's thread."""
        began = time.monotonic()
        self._check()
        with FollowedCopy(self._new) as copy:
            self._catch_up(copy)
            self._amend(copy)
            copy.sync()
        self._others = bool(others_reading(self._log.live_environment()))
        self._leave()
        replaced = self._log.replace_file(self._rename, PATIENCE)
        if replaced:
            self._waited = time.monotonic() - began
            return True
        # Nothing was committed: the copy is of this state.
        self._enter()
        self._base = self._pin()
        return False

    def _amend(self, copy: FollowedCopy) -> None:
        notes = copy.database(b"notes")
        with copy.environment.begin(write=True) as transaction:
            stored = transaction.get(self._note, db=notes)
            value = None if stored is None else opened_record("notes", self._note, stored)
            new = None if value is None else self._changed(value, self._new)
            if new is not None:
                transaction.put(self._note, sealed_record("notes", self._note, new), db=notes)

    def _rename(self) -> None:
        """Put the copy in place. The environment is closed."""
        try:
            self._exchange()
        except BaseException:
            # Now: closing it while the environment has the same file open would give up its lock.
            if self._readers is not None:
                self._readers.close()
            raise

    def _exchange(self) -> None:
        if not self._others:
            os.link(self._data, self._path / OLD_FILE)
            with suppress(FileNotFoundError):
                self._readers = Descriptor(self._path / READERS_FILE, os.O_RDWR)
        # Readers of the old file keep their table of readers with it; the new file gets a new one.
        (self._path / READERS_FILE).unlink(missing_ok=True)
        self._new.rename(self._data)
        sync_directory(self._path)
