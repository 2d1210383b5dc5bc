"""onewriter: commands through one writer, queries on many replicas, inside your process.

Declare a `Domain`, open a `System` with it; `storage` underneath is usable alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors._import_check import OURS as _OURS  # noqa: F401  (first, before what needs storage)
from actors.errors import (
    ActorsError,
    CommandIdReused,
    CommandTimeout,
    CommitUncertain,
    ConcurrencyConflict,
    ConsistencyTimeout,
    ConsumerMismatch,
    CopyFailed,
    DeadlineExceeded,
    DeciderFailed,
    DomainError,
    Forbidden,
    ForeignToken,
    ForkedProcess,
    GuardFailed,
    InvalidMessage,
    InvalidTenantName,
    InvalidToken,
    MiddlewareFailed,
    ModelStopped,
    NotStopped,
    OpenedForReading,
    Overloaded,
    ProcessManagersOff,
    ProcessManagerStopped,
    QueryFailed,
    QueryTimeout,
    Rejected,
    Runaway,
    StreamClosed,
    SystemClosed,
    TenantsBusy,
    UnadoptedCopy,
    UnknownMessage,
    UnknownName,
    UnknownStream,
    UnknownTenant,
    ViewExpired,
    WouldLose,
    WrongThread,
)
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
    from actors.backup.restore import restore
    from actors.domain.access import Access
    from actors.domain.domain import Domain
    from actors.domain.middleware import Call
    from actors.domain.personal import Personal, SubjectForgotten
    from actors.domain.process_manager import ProcessManager
    from actors.domain.process_manager_spec import Rejection
    from actors.domain.read_model import Objects, ReadModel, Tables, each, words
    from actors.health import Activity, Health, HeldBack, ProcessManagerHealth, Rebuild
    from actors.migration.copied_event import CopiedEvent
    from actors.process_managers.decision import Do
    from actors.process_managers.pending_effects import PendingEffect
    from actors.process_managers.quarantined_instances import QuarantinedInstance
    from actors.queries.options import QueryOptions, WatchOptions
    from actors.queries.result_typing import Query
    from actors.queries.view import View
    from actors.receipt import Receipt
    from actors.replication.skipped_events import SkippedEvent
    from actors.retention.archive_plan import ArchivePlan, ReaderBehind
    from actors.retention.removal_plan import Loss, RemovalPlan
    from actors.runtime.corrections import CorrectedEvent, CorrectionPlan
    from actors.runtime.forgetting import Forgotten
    from actors.runtime.store_info import ReplicaInfo, StoreInfo
    from actors.subscriptions.callback_consumer import CallbackConsumer
    from actors.subscriptions.consumer import Consumer, Delivery
    from actors.subscriptions.consumer_status import ConsumerStatus, ParkedStream
    from actors.subscriptions.options import ConsumerOptions
    from actors.subscriptions.subscription import Subscription
    from actors.system.session import Session
    from actors.system.system import System
    from actors.system.watch import Watch
    from actors.tenants.health import SystemsHealth, TenantHealth
    from actors.tenants.lease import Lease
    from actors.tenants.systems import Systems
    from actors.worker_processes.parent.worker_process import WorkerDied
    from actors.writer.closed_streams import ClosedStream
    from actors.writer.decider_reader import Reader
    from actors.writer.options import AppendOptions, CommandOptions, ManyOptions
    from storage.backup.backup_writer import Backup
    from storage.backup.restore import Restored
    from storage.codec.plain_values import StoredEnum, StoredSeal, StoredValue
    from storage.codec.upcasting import Stored
    from storage.engines.sqlite.full_text import fts_match
    from storage.files.page_usage import FileUsage
    from storage.log.archive_records import ArchiveRecord
    from storage.log.corrections import Correction
    from storage.log.live_compaction import Compaction
    from storage.log.records import RecordedEvent, Undecodable
    from storage.log.verification import LogCheck
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "actors.backup.restore": ["restore"],
            "actors.domain.access": ["Access"],
            "actors.domain.domain": ["Domain"],
            "actors.domain.middleware": ["Call"],
            "actors.domain.personal": ["Personal", "SubjectForgotten"],
            "actors.domain.process_manager": ["ProcessManager"],
            "actors.domain.process_manager_spec": ["Rejection"],
            "actors.domain.read_model": ["Objects", "ReadModel", "Tables", "each", "words"],
            "actors.health": ["Activity", "Health", "HeldBack", "ProcessManagerHealth", "Rebuild"],
            "actors.migration.copied_event": ["CopiedEvent"],
            "actors.process_managers.decision": ["Do"],
            "actors.process_managers.pending_effects": ["PendingEffect"],
            "actors.process_managers.quarantined_instances": ["QuarantinedInstance"],
            "actors.queries.options": ["QueryOptions", "WatchOptions"],
            "actors.queries.result_typing": ["Query"],
            "actors.queries.view": ["View"],
            "actors.receipt": ["Receipt"],
            "actors.replication.skipped_events": ["SkippedEvent"],
            "actors.retention.archive_plan": ["ArchivePlan", "ReaderBehind"],
            "actors.retention.removal_plan": ["Loss", "RemovalPlan"],
            "actors.runtime.corrections": ["CorrectedEvent", "CorrectionPlan"],
            "actors.runtime.forgetting": ["Forgotten"],
            "actors.runtime.store_info": ["ReplicaInfo", "StoreInfo"],
            "actors.subscriptions.callback_consumer": ["CallbackConsumer"],
            "actors.subscriptions.consumer": ["Consumer", "Delivery"],
            "actors.subscriptions.consumer_status": ["ConsumerStatus", "ParkedStream"],
            "actors.subscriptions.options": ["ConsumerOptions"],
            "actors.subscriptions.subscription": ["Subscription"],
            "actors.system.session": ["Session"],
            "actors.system.system": ["System"],
            "actors.system.watch": ["Watch"],
            "actors.tenants.health": ["SystemsHealth", "TenantHealth"],
            "actors.tenants.lease": ["Lease"],
            "actors.tenants.systems": ["Systems"],
            "actors.worker_processes.parent.worker_process": ["WorkerDied"],
            "actors.writer.closed_streams": ["ClosedStream"],
            "actors.writer.decider_reader": ["Reader"],
            "actors.writer.options": ["AppendOptions", "CommandOptions", "ManyOptions"],
            "storage.backup.backup_writer": ["Backup"],
            "storage.backup.restore": ["Restored"],
            "storage.codec.plain_values": ["StoredEnum", "StoredSeal", "StoredValue"],
            "storage.codec.upcasting": ["Stored"],
            "storage.engines.sqlite.full_text": ["fts_match"],
            "storage.files.page_usage": ["FileUsage"],
            "storage.log.archive_records": ["ArchiveRecord"],
            "storage.log.corrections": ["Correction"],
            "storage.log.live_compaction": ["Compaction"],
            "storage.log.records": ["RecordedEvent", "Undecodable"],
            "storage.log.verification": ["LogCheck"],
        },
    )

__all__ = [
    "Access",
    "Activity",
    "ActorsError",
    "AppendOptions",
    "ArchivePlan",
    "ArchiveRecord",
    "ArchiveRefused",
    "ArchiveUnavailable",
    "Backup",
    "Call",
    "CallbackConsumer",
    "ClosedStream",
    "CodecError",
    "CommandIdReused",
    "CommandOptions",
    "CommandTimeout",
    "CommitFailed",
    "CommitUncertain",
    "Compaction",
    "ConcurrencyConflict",
    "ConsistencyTimeout",
    "Consumer",
    "ConsumerMismatch",
    "CopiedEvent",
    "CopyFailed",
    "ConsumerOptions",
    "ConsumerStatus",
    "CorrectedEvent",
    "Correction",
    "CorrectionPlan",
    "CorrectionRefused",
    "DamagedKeys",
    "DamagedRow",
    "DamagedStore",
    "DeadlineExceeded",
    "DeciderFailed",
    "Delivery",
    "Do",
    "Domain",
    "DomainError",
    "DuplicateTypeName",
    "EventsRemoved",
    "FileUsage",
    "FilesGone",
    "Forbidden",
    "ForeignToken",
    "ForkedProcess",
    "GuardFailed",
    "Forgotten",
    "Health",
    "HeldBack",
    "InvalidBackup",
    "InvalidExport",
    "InvalidKey",
    "InvalidMessage",
    "InvalidPageToken",
    "InvalidSchema",
    "InvalidTenantName",
    "InvalidToken",
    "KeyTooLong",
    "KeysUnavailable",
    "LogCheck",
    "ManyOptions",
    "Lease",
    "LimitReached",
    "Loss",
    "MessageTooLarge",
    "MiddlewareFailed",
    "ModelStopped",
    "NewerFormat",
    "NotAStore",
    "NotStopped",
    "Objects",
    "OnewriterError",
    "OpenedForReading",
    "OtherEngine",
    "OutOfOrder",
    "Overloaded",
    "ParkedStream",
    "PendingEffect",
    "Personal",
    "ProcessManagerHealth",
    "ProcessManager",
    "ProcessManagerStopped",
    "ProcessManagersOff",
    "QuarantinedInstance",
    "Query",
    "QueryFailed",
    "QueryOptions",
    "QueryTimeout",
    "ReadModel",
    "Reader",
    "ReaderBehind",
    "Rebuild",
    "Receipt",
    "RecordedEvent",
    "Rejected",
    "Rejection",
    "RemovalPlan",
    "ReplicaInfo",
    "Restored",
    "Runaway",
    "RowMissing",
    "Session",
    "SkippedEvent",
    "SnapshotClosed",
    "StatementRefused",
    "StorageError",
    "StoreClosed",
    "StoreFull",
    "StoreInfo",
    "StoreLocked",
    "StoreReadOnly",
    "Stored",
    "StoredEnum",
    "StoredSeal",
    "StoredValue",
    "StreamClosed",
    "SubjectForgotten",
    "Subscription",
    "System",
    "SystemClosed",
    "Systems",
    "SystemsHealth",
    "Tables",
    "TenantHealth",
    "TenantsBusy",
    "Undecodable",
    "UnadoptedCopy",
    "UnencodableValue",
    "UnknownMessage",
    "UnknownName",
    "UnknownStream",
    "UnknownTenant",
    "UnknownType",
    "UnreadableSeal",
    "UnregisteredType",
    "UpcastFailed",
    "View",
    "ViewExpired",
    "Watch",
    "WatchOptions",
    "WorkerDied",
    "WouldLose",
    "WrongThread",
    "each",
    "fts_match",
    "restore",
    "words",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
