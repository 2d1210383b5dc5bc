"""onewriter: commands through one writer, queries on many replicas, inside your process.

Declare a `Domain`, open a `System` with it; `storage` underneath is usable alone.
"""

from __future__ import annotations

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
    SystemClosed,
    UnknownMessage,
    UnknownName,
    ViewExpired,
    WrongThread,
)
from actors.health import Health
from actors.live.consumer import Delivery
from actors.messages import Receipt
from actors.middleware import Call
from actors.process.deciding import Do
from actors.process.declaring import ProcessManager
from actors.process.spec import Rejection
from actors.queries.session import Session
from actors.queries.typed import Query
from actors.queries.view import View
from actors.read_model import Objects, ReadModel, Tables, each, words
from actors.replicas.rebuilds import Rebuild
from actors.replicas.skipping import Skipped
from actors.system import System
from actors.writer.reader import Reader
from storage import (
    DamagedStore,
    MessageTooLarge,
    NewerFormat,
    NotAStore,
    OnewriterError,
    OtherEngine,
    RecordedEvent,
    StatementRefused,
    StorageError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
)
from storage.engines.fts import fts_match

__all__ = [
    "ActorsError",
    "Call",
    "CommandIdReused",
    "CommandTimeout",
    "CommitUncertain",
    "ConcurrencyConflict",
    "ConsistencyTimeout",
    "ConsumerMismatch",
    "DamagedStore",
    "DeadlineExceeded",
    "DeciderFailed",
    "Do",
    "Delivery",
    "Domain",
    "DomainError",
    "ForeignToken",
    "ForkedProcess",
    "Health",
    "InvalidMessage",
    "InvalidToken",
    "MessageTooLarge",
    "MiddlewareFailed",
    "ModelStopped",
    "NewerFormat",
    "NotAStore",
    "NotStopped",
    "OnewriterError",
    "Objects",
    "OtherEngine",
    "Overloaded",
    "ProcessManager",
    "ProcessStopped",
    "Query",
    "QueryFailed",
    "QueryTimeout",
    "ReadModel",
    "Reader",
    "Rebuild",
    "Receipt",
    "RecordedEvent",
    "Rejected",
    "Rejection",
    "Session",
    "Skipped",
    "StatementRefused",
    "StorageError",
    "StoreFull",
    "StoreLocked",
    "StoreReadOnly",
    "System",
    "SystemClosed",
    "Tables",
    "UnknownMessage",
    "UnknownName",
    "View",
    "ViewExpired",
    "WrongThread",
    "each",
    "fts_match",
    "words",
]
