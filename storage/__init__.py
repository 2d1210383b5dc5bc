"""Storage for one writer and many readers: the event log, the message codec and the tables of the replicas.

Usable alone: nothing in here depends on actors. Each module says which thread may use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.errors import (
    ArchiveRefused,
    ArchiveUnavailable,
    CodecError,
    CommitFailed,
    CorrectionRefused,
    DamagedKeys,
    DamagedRow,
    DamagedStore,
    DuplicateTypeName,
    EventsRemoved,
    FilesGone,
    InvalidBackup,
    InvalidExport,
    InvalidKey,
    InvalidPageToken,
    InvalidSchema,
    KeysUnavailable,
    KeyTooLong,
    LimitReached,
    MessageTooLarge,
    NewerFormat,
    NotAStore,
    OnewriterError,
    OtherEngine,
    OutOfOrder,
    RowMissing,
    SnapshotClosed,
    StatementRefused,
    StorageError,
    StoreClosed,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    UnencodableValue,
    UnknownType,
    UnreadableSeal,
    UnregisteredType,
    UpcastFailed,
)
from storage.lazy_names import lazy_names

if TYPE_CHECKING:
    from storage.backup.backup_writer import Backup
    from storage.backup.restore import Restored, restore_backup
    from storage.backup.take_backup import take_backup
    from storage.codec.codec import Codec
    from storage.codec.upcasting import Stored
    from storage.log.archive_records import ArchiveRecord
    from storage.log.corrections import Correction
    from storage.log.event_log import EventLog
    from storage.log.records import CommandRecord, RecordedEvent, Undecodable
    from storage.log.verification import LogCheck
    from storage.replica.replica_store import ReplicaStore
    from storage.replica.snapshot import Snapshot
    from storage.replica.write_transaction import WriteTransaction
    from storage.tables.index import each, words
    from storage.tables.prepared import PreparedRange
    from storage.tables.reader import TableReader
    from storage.tables.schema import ModelSchema, ObjectSchema, TableSchema
    from storage.tables.writer import TableWriter
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "storage.backup.backup_writer": ["Backup"],
            "storage.backup.restore": ["Restored", "restore_backup"],
            "storage.backup.take_backup": ["take_backup"],
            "storage.codec.codec": ["Codec"],
            "storage.codec.upcasting": ["Stored"],
            "storage.log.archive_records": ["ArchiveRecord"],
            "storage.log.corrections": ["Correction"],
            "storage.log.event_log": ["EventLog"],
            "storage.log.records": ["CommandRecord", "RecordedEvent", "Undecodable"],
            "storage.log.verification": ["LogCheck"],
            "storage.replica.replica_store": ["ReplicaStore"],
            "storage.replica.snapshot": ["Snapshot"],
            "storage.replica.write_transaction": ["WriteTransaction"],
            "storage.tables.index": ["each", "words"],
            "storage.tables.prepared": ["PreparedRange"],
            "storage.tables.reader": ["TableReader"],
            "storage.tables.schema": ["ModelSchema", "ObjectSchema", "TableSchema"],
            "storage.tables.writer": ["TableWriter"],
        },
    )

__all__ = [
    "ArchiveRecord",
    "ArchiveRefused",
    "ArchiveUnavailable",
    "Backup",
    "Codec",
    "CodecError",
    "CommandRecord",
    "CommitFailed",
    "Correction",
    "CorrectionRefused",
    "DamagedKeys",
    "DamagedRow",
    "DamagedStore",
    "DuplicateTypeName",
    "EventLog",
    "EventsRemoved",
    "FilesGone",
    "InvalidBackup",
    "InvalidExport",
    "InvalidKey",
    "InvalidPageToken",
    "InvalidSchema",
    "KeyTooLong",
    "KeysUnavailable",
    "LimitReached",
    "LogCheck",
    "MessageTooLarge",
    "ModelSchema",
    "NewerFormat",
    "NotAStore",
    "ObjectSchema",
    "OnewriterError",
    "OtherEngine",
    "OutOfOrder",
    "PreparedRange",
    "RecordedEvent",
    "ReplicaStore",
    "Restored",
    "RowMissing",
    "Snapshot",
    "SnapshotClosed",
    "StatementRefused",
    "StorageError",
    "StoreClosed",
    "StoreFull",
    "StoreLocked",
    "StoreReadOnly",
    "Stored",
    "TableReader",
    "TableSchema",
    "TableWriter",
    "Undecodable",
    "UnencodableValue",
    "UnknownType",
    "UnreadableSeal",
    "UnregisteredType",
    "UpcastFailed",
    "WriteTransaction",
    "each",
    "restore_backup",
    "take_backup",
    "words",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
