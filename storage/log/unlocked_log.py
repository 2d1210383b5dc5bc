"""A log that nobody writes to, read without a lock, so that nothing in its directory changes. Any thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import lmdb

from storage.archive.archives import ARCHIVES_FOLDER, Archives
from storage.errors import DamagedStore, NotAStore
from storage.files.environment import ENGINE
from storage.files.error_translation import translate
from storage.files.header import Header, read_header
from storage.log.archive_records import known_archive
from storage.log.correction_entries import stored_event_digest
from storage.log.history import History
from storage.log.log_databases import existing_databases
from storage.log.open_log import LogTransaction
from storage.log.record_format import RecordFormat
from storage.log.records import U64

__all__ = ["history_of", "unlocked_log"]


@contextmanager
def unlocked_log(path: Path, archives_path: Path | None = None) -> Iterator[tuple[LogTransaction, Header]]:
    """Read the log in the directory `path`, to which nobody writes and whose pages are sound.

    It is mapped. `archives_path` is the folder of its archives, `archives` in `path` unless it is given.
    Raises NotAStore, NewerFormat, DamagedStore.
    """
    try:
        with closing(
            lmdb.open(
                os.fspath(path), readonly=True, lock=False, create=False, max_dbs=16, lib_version=ENGINE
            )
        ) as environment:
            header = read_header(environment, "log")
            if header is None:
                raise NotAStore(f"the log in {path} is empty")
            archives = Archives(
                path / ARCHIVES_FOLDER if archives_path is None else archives_path,
                lambda number: known_archive(transaction, databases, records, number),
            )
            records = RecordFormat(header.format, f"the log in {path}", archives)
            databases = existing_databases(environment, records)
            with environment.begin() as transaction:
                yield LogTransaction(transaction, databases, records), header
    except lmdb.NotFoundError as error:
        raise DamagedStore(f"the log in {path} lacks a database ({error}); restore a backup") from error
    except lmdb.Error as error:
        raise translate(error, f"verifying the log in {path}") from error


def history_of(log: LogTransaction, header: Header) -> History:
    """The log as replicas are compared with it. Its digests raise DamagedStore."""
    with log.transaction.cursor(log.databases["events"]) as cursor:
        head = int(U64.unpack(cursor.key())[0]) if cursor.last() else 0
    return History(header.history_id, head, partial(_digest, log))


def _digest(log: LogTransaction, position: int) -> bytes:
    return stored_event_digest(log.transaction, log.databases, log.records, position)
