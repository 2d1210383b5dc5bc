"""Storage for one writer and many readers: the event log, the message codec and the tables of the replicas.

Usable alone: nothing in here depends on actors. Each module says which thread may use it.
"""

from __future__ import annotations

from storage.codec.codec import Codec
from storage.codec.upcasting import Stored
from storage.errors import (
    CodecError,
    CommitFailed,
    CorrectionRefused,
    DamagedRow,
    DamagedStore,
    DuplicateTypeName,
    FilesGone,
    InvalidExport,
    InvalidKey,
    InvalidPageToken,
    InvalidSchema,
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
    UnregisteredType,
    UpcastFailed,
)
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

__all__ = [
    "Codec",
    "CodecError",
    "CommandRecord",
    "CommitFailed",
    "Correction",
    "CorrectionRefused",
    "DamagedRow",
    "DamagedStore",
    "DuplicateTypeName",
    "EventLog",
    "FilesGone",
    "InvalidExport",
    "InvalidKey",
    "InvalidPageToken",
    "InvalidSchema",
    "KeyTooLong",
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
    "UnregisteredType",
    "UpcastFailed",
    "WriteTransaction",
    "each",
    "words",
]
