"""Enters a process manager in the store when a system opens. The opener's thread, before the actors start."""

from __future__ import annotations

from dataclasses import replace

from actors.domain.process_manager_spec import ProcessManagerSpec
from actors.process_managers.input_history import INDEXED, index_history
from actors.process_managers.key_fingerprint import key_fingerprints, refreshed
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.records import Checkpoint, ManagerMetadata
from actors.process_managers.renaming import take_over
from actors.process_managers.status import Status
from storage import EventLog
from storage.codec.codec import Codec
from storage.files.damage import damaged_records

__all__ = ["register"]


def register(log: EventLog, codec: Codec, spec: ProcessManagerSpec) -> Status:
    """Store a manager that is new, or begin a rebuild where its version was raised; returns how it is then.

    Raises what the log does, and `DamagedStore` for records that can't be read.
    """
    take_over(log, spec)
    keys, records = RecordKeys(spec.name), RecordCodec(codec)
    fingerprints = key_fingerprints(spec)
    stored, at = log.note(keys.metadata), log.note(keys.checkpoint)
    if stored is None or at is None:
        start = log.head if spec.start == "now" else 0
        metadata = ManagerMetadata(spec.version, start, key_fingerprints=fingerprints)
        checkpoint = Checkpoint(start, 0)
    else:
        with damaged_records(f"process manager {spec.name!r}, in the log,", "restore a backup"):
            metadata, checkpoint = ManagerMetadata.unpack(codec, stored), Checkpoint.unpack(at)
        if metadata.version < spec.version:
            metadata = metadata.raised(spec.version, checkpoint.position, fingerprints)
        elif metadata.version == spec.version or metadata.key_fingerprints is None:
            fingerprints = refreshed(metadata.key_fingerprints, fingerprints)
            metadata = replace(metadata, key_fingerprints=fingerprints)
        index_history(log, keys, records)
    notes = [(keys.metadata, metadata.pack(codec)), (keys.checkpoint, checkpoint.pack())]
    if notes != [(keys.metadata, stored), (keys.checkpoint, at)]:
        new = [(keys.indexed, INDEXED)] if stored is None else []
        log.append([], notes=[*notes, *new])
    return Status(
        checkpoint.position,
        checkpoint.instances,
        checkpoint.timers,
        rebuilding=metadata.until,
        quarantined=checkpoint.quarantined,
    )
