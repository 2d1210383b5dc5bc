"""What a process manager that no code declares has left in a store. Any thread."""

from __future__ import annotations

from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.records import Checkpoint
from storage.files.damage import damaged_records
from storage.log.log_reader import LogReader

__all__ = ["leftovers"]


def leftovers(log: LogReader, name: str) -> str:
    """Its instances, timers and undelivered effects in words; empty for none. Raises `DamagedStore`."""
    keys = RecordKeys(name)
    stored = log.note(keys.checkpoint)
    if stored is None:
        return ""
    with damaged_records(f"process manager {name!r}, in the log,", "restore a backup"):
        checkpoint = Checkpoint.unpack(stored)
    effects = sum(len(log.notes(prefix)) for prefix in (keys.due, keys.parked, keys.blocked))
    counts = {"instance": checkpoint.instances, "timer": checkpoint.timers, "undelivered effect": effects}
    found = [f"{count:,} {what}{'s' * (count != 1)}" for what, count in counts.items() if count]
    return f"it has left {' and '.join(found)}" if found else ""
