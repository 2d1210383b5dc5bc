"""Storage for one writer and many readers: the event log, the message codec and the tables of the replicas.

Usable alone: nothing in here knows of actors. Each module says which thread may use it.
"""

from storage.codec import Codec
from storage.environment import DEFAULT_MAP_SIZE, FORMAT_VERSION
from storage.errors import (
    CodecError,
    CommitFailed,
    DamagedStore,
    DuplicateTypeName,
    ForeignReplica,
    InvalidKey,
    KeyTooLong,
    MessageTooLarge,
    NewerFormat,
    NotAStore,
    OnewriterError,
    OutOfOrder,
    RowMissing,
    SnapshotClosed,
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

__all__ = [
    # the log
    "EventLog",
    "RecordedEvent",
    "CommandRecord",
    # messages
    "Codec",
    # files
    "DEFAULT_MAP_SIZE",
    "FORMAT_VERSION",
    # errors
    "OnewriterError",
    "StorageError",
    "StoreLocked",
    "NotAStore",
    "NewerFormat",
    "DamagedStore",
    "ForeignReplica",
    "StoreReadOnly",
    "StoreClosed",
    "SnapshotClosed",
    "StoreFull",
    "CommitFailed",
    "OutOfOrder",
    "InvalidKey",
    "KeyTooLong",
    "RowMissing",
    "CodecError",
    "UnregisteredType",
    "UnknownType",
    "UnencodableValue",
    "DuplicateTypeName",
    "MessageTooLarge",
]
