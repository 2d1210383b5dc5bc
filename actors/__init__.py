"""onewriter: commands through one writer, queries on many replicas, inside your process.

Declare a `Domain`, open a `System` with it; `storage` underneath is usable alone.
"""

from __future__ import annotations

from actors._beside import OURS as _OURS  # noqa: F401  (first, before what needs storage)
from actors.domain import Domain
from actors.errors import (
    ActorsError,
    CommandIdReused,
    CommandTimeout,
    CommitUncertain,
    ConcurrencyConflict,
    ConsistencyTimeout,
    ConsumerMismatch,
    DeadlineExceeded,
    DeciderFailed,
    DomainError,
    ForeignToken,
    ForkedProcess,
    InvalidMessage,
    InvalidToken,
    MiddlewareFailed,
    ModelStopped,
    NotStopped,
    Overloaded,
    ProcessStopped,
    QueryFailed,
    QueryTimeout,
    Rejected,
    Runaway,
    SystemClosed,
    UnknownMessage,
    UnknownName,
    ViewExpired,
    WrongThread,
)
from actors.health import Activity, Health, ProcessHealth
from actors.live.callbacks import CallbackConsumer
from actors.live.consumer import Consumer, Delivery
from actors.live.consumers import ConsumerStatus, Parked
from actors.live.options import ConsumerOptions, WatchOptions
from actors.live.subscription import Subscription
from actors.live.watch import Watch
from actors.messages import Receipt
from actors.middleware import Call
from actors.options import AppendOptions, CommandOptions, ManyOptions, QueryOptions
from actors.process.deciding import Do
from actors.process.declaring import ProcessManager
from actors.process.pending import PendingEffect
from actors.process.quarantined import QuarantinedInstance
from actors.process.spec import Rejection
from actors.queries.session import Session
from actors.queries.typed import Query
from actors.queries.view import View
from actors.read_model import Objects, ReadModel, Tables, each, words
from actors.replicas.rebuilds import Rebuild
from actors.replicas.skipping import Skipped
from actors.system import System
from actors.workers.process import WorkerDied
from actors.writer.reader import Reader
from storage import (
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
    RecordedEvent,
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
from storage.engines.sqlite.full_text import fts_match

__all__ = [
    "Activity",
    "ActorsError",
    "AppendOptions",
    "Call",
    "CallbackConsumer",
    "CodecError",
    "CommandIdReused",
    "CommandOptions",
    "CommandTimeout",
    "CommitFailed",
    "CommitUncertain",
    "ConcurrencyConflict",
    "ConsistencyTimeout",
    "Consumer",
    "ConsumerMismatch",
    "ConsumerOptions",
    "ConsumerStatus",
    "DamagedRow",
    "DamagedStore",
    "DeadlineExceeded",
    "DeciderFailed",
    "Delivery",
    "Do",
    "Domain",
    "DomainError",
    "DuplicateTypeName",
    "FilesGone",
    "ForeignToken",
    "ForkedProcess",
    "Health",
    "InvalidKey",
    "InvalidMessage",
    "InvalidPageToken",
    "InvalidSchema",
    "InvalidToken",
    "KeyTooLong",
    "ManyOptions",
    "LimitReached",
    "MessageTooLarge",
    "MiddlewareFailed",
    "ModelStopped",
    "NewerFormat",
    "NotAStore",
    "NotStopped",
    "Objects",
    "OnewriterError",
    "OtherEngine",
    "OutOfOrder",
    "Overloaded",
    "Parked",
    "PendingEffect",
    "ProcessHealth",
    "ProcessManager",
    "ProcessStopped",
    "QuarantinedInstance",
    "Query",
    "QueryFailed",
    "QueryOptions",
    "QueryTimeout",
    "ReadModel",
    "Reader",
    "Rebuild",
    "Receipt",
    "RecordedEvent",
    "Rejected",
    "Rejection",
    "Runaway",
    "RowMissing",
    "Session",
    "Skipped",
    "SnapshotClosed",
    "StatementRefused",
    "StorageError",
    "StoreClosed",
    "StoreFull",
    "StoreLocked",
    "StoreReadOnly",
    "Subscription",
    "System",
    "SystemClosed",
    "Tables",
    "UnencodableValue",
    "UnknownMessage",
    "UnknownName",
    "UnknownType",
    "UnregisteredType",
    "View",
    "ViewExpired",
    "Watch",
    "WatchOptions",
    "WorkerDied",
    "WrongThread",
    "each",
    "fts_match",
    "words",
]
