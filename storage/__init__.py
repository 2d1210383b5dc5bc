"""Storage for one writer and many readers: the event log, the message codec and the tables of the replicas.

Usable alone: nothing in here knows of actors. Each module says which thread may use it.
"""

from __future__ import annotations

from storage.codec import Codec
from storage.errors import (
    CodecError,
    CommitFailed,
    DamagedRow,
    DamagedStore,
    DuplicateTypeName,
    FilesGone,
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
)
from storage.log import EventLog
from storage.records import CommandRecord, RecordedEvent
from storage.replica import ReplicaStore
from storage.replica_views import Snapshot, WriteTransaction
from storage.table_index import each, words
from storage.table_prepared import PreparedRange
from storage.table_reader import TableReader
from storage.table_schema import ModelSchema, ObjectSchema, TableSchema
from storage.table_writer import TableWriter

__all__ = [
    "Codec",
    "CodecError",
    "CommandRecord",
    "CommitFailed",
    "DamagedRow",
    "DamagedStore",
    "DuplicateTypeName",
    "EventLog",
    "FilesGone",
    "InvalidKey",
    "InvalidPageToken",
    "InvalidSchema",
    "KeyTooLong",
    "LimitReached",
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
    "TableReader",
    "TableSchema",
    "TableWriter",
    "UnencodableValue",
    "UnknownType",
    "UnregisteredType",
    "WriteTransaction",
    "each",
    "words",
]
