"""How a process manager is by what the store has of it: for systems in which it does not run. Any thread."""

from __future__ import annotations

from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.records import Checkpoint, ManagerMetadata
from actors.process_managers.status import Status
from storage.codec.codec import Codec
from storage.files.damage import damaged_records
from storage.log.log_reader import LogReader

__all__ = ["stored_status"]


def stored_status(log: LogReader, codec: Codec, keys: RecordKeys, name: str) -> Status:
    """As its last step left it; at position 0 if the store does not know it yet. Raises `DamagedStore`."""
    metadata, checkpoint = log.note(keys.metadata), log.note(keys.checkpoint)
    if metadata is None or checkpoint is None:
        return Status(0)
    with damaged_records(f"process manager {name!r}, in the log,", "restore a backup"):
        until, at = ManagerMetadata.unpack(codec, metadata).until, Checkpoint.unpack(checkpoint)
    return Status(at.position, at.instances, at.timers, rebuilding=until, quarantined=at.quarantined)
