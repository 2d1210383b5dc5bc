"""Who reads events of the log in order, and which ones each has not read yet. Any thread.

What is stored counts: a consumer or process manager may be further than its note says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from actors.domain.read_model import ReadModel
from actors.domain.specs import CompiledDomain
from actors.process_managers.input_order import ORDER_BYTES, Order
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.records import Checkpoint
from actors.replication.progress import Progress
from actors.runtime.parts import Parts
from actors.subscriptions.event_filter import category_of
from actors.subscriptions.group_keys import PREFIX, backlog_key, names_of, state_key
from actors.subscriptions.group_state import GroupState, decode_backlog
from storage import EventLog
from storage.codec.upcasting import version_of
from storage.files.damage import damaged_records
from storage.log.log_reader import LogReader
from storage.log.records import envelope_of

__all__ = [
    "MANAGER",
    "MODEL",
    "EventReader",
    "StoredEnvelope",
    "envelope",
    "event_readers",
    "manager_types",
    "model_types",
]

CONSUMER, MANAGER, MODEL = "consumer", "manager", "model"
MANAGERS = b"pm/"


class StoredEnvelope(NamedTuple):
    """What of a stored event says who wants it; `type` is the stored name without a version."""

    position: int
    stream: str
    version: int
    type: str
    tags: Collection[str]


def envelope(position: int, data: bytes) -> StoredEnvelope:
    """That of an event in stored bytes. Raises DamagedStore."""
    with damaged_records(f"the event at position {position}", "restore a backup"):
        stream, version, type_name, *rest = envelope_of(data)
        return StoredEnvelope(position, stream, version, version_of(type_name)[0], rest[6])


@dataclass(frozen=True, slots=True)
class EventReader:
    """A consumer, a process manager or a read model; it has read everything before the position `first`.

    `waits` says whether it still has to read an event, for one from `first` on.
    """

    kind: str
    name: str
    first: int
    waits: Callable[[StoredEnvelope], bool]


def event_readers(parts: Parts) -> list[EventReader]:
    """All of a running system. Raises DamagedStore, NewerFormat."""
    log, domain = parts.log, parts.domain
    # A manager that was renamed has its records under its first name.
    stored = {handle.keys.bases[0]: handle.spec.name for handle in parts.process_managers.handles.values()}
    return [
        *_consumers(log, domain),
        *_managers(log, domain, stored),
        # A system that is opened for reading has replicas of its own.
        *(_models(domain, parts.progress) if isinstance(log, EventLog) else ()),
    ]


# -- consumers -----------------------------------------------------------------------------------------------
def _consumers(log: LogReader, domain: CompiledDomain) -> Iterator[EventReader]:
    for name in names_of(key for key, _ in log.notes(PREFIX)):
        data = log.note(state_key(name))
        if data is not None:
            prefix = backlog_key(name, "")
            behind = {
                key[len(prefix) :].decode(): decode_backlog(name, value).first
                for key, value in log.notes(prefix)
            }
            yield _consumer(name, GroupState.decode(name, data), behind, domain)


def _consumer(name: str, state: GroupState, behind: Mapping[str, int], domain: CompiledDomain) -> EventReader:
    wanted, through = state.wanted, state.through
    types = domain.codec.sources_of(wanted.types)
    opened = {position for position, _ in state.open}

    def waits(event: StoredEnvelope) -> bool:
        parked = behind.get(event.stream)
        return (
            (event.position > through or event.position in opened or _reached(event.position, parked))
            and (not types or event.type in types)
            and wanted.stream in ("", event.stream)
            and wanted.category in ("", category_of(event.stream))
            and (not wanted.tag or wanted.tag in event.tags)
        )

    return EventReader(CONSUMER, name, min((through + 1, *opened, *behind.values())), waits)


def _reached(position: int, parked: int | None) -> bool:
    return parked is not None and position >= parked


# -- process managers ----------------------------------------------------------------------------------------
def _managers(log: LogReader, domain: CompiledDomain, stored: Mapping[bytes, str]) -> Iterator[EventReader]:
    after = b""
    while found := log.notes(MANAGERS, after, 1):
        [(key, _)] = found
        name = key.split(b"/")[1]
        base = MANAGERS + name + b"/"
        after = MANAGERS + name + b"0"  # which sorts right after all keys with the slash
        keys = RecordKeys(name.decode())
        data = log.note(keys.checkpoint)
        if data is None:
            continue
        with damaged_records(f"process manager {name.decode()!r}, in the log,", "restore a backup"):
            through = Checkpoint.unpack(data).position
            held = {Order.unpack(key[-ORDER_BYTES:]).position for key, _ in log.notes(keys.held)}
        known = stored.get(base)
        # Of one whose code is gone nobody knows what it would handle.
        types = None if known is None else manager_types(domain, known)
        yield _manager(known or name.decode(), through, frozenset(held), types)


def _manager(name: str, through: int, held: frozenset[int], types: frozenset[str] | None) -> EventReader:
    def waits(event: StoredEnvelope) -> bool:
        return (event.position > through or event.position in held) and (types is None or event.type in types)

    return EventReader(MANAGER, name, min((through + 1, *held)), waits)


def manager_types(domain: CompiledDomain, name: str) -> frozenset[str]:
    """The stored types that a process manager may handle."""
    return _sources(domain, domain.process_managers[name].events)


# -- read models ---------------------------------------------------------------------------------------------
def _models(domain: CompiledDomain, progress: Progress) -> Iterator[EventReader]:
    for name in domain.models:
        applied = [models[name].applied for models in list(progress.replicas.values()) if name in models]
        if applied:
            yield _model(name, min(applied), model_types(domain, name))


def _model(name: str, through: int, types: frozenset[str]) -> EventReader:
    return EventReader(
        MODEL, name, through + 1, lambda event: event.position > through and event.type in types
    )


def model_types(domain: CompiledDomain, name: str) -> frozenset[str]:
    """The stored types that the projections of a read model handle, in any of its declared versions."""
    versions: list[ReadModel] = [domain.models[name], *domain.old_models.get(name, ())]
    return frozenset().union(*(_sources(domain, one.handlers) for one in versions))


def _sources(domain: CompiledDomain, classes: Collection[type]) -> frozenset[str]:
    return domain.codec.sources_of([domain.codec.name_of(one) for one in classes])
