"""What process managers have left in a store, for code that may not declare them or has raised their version.

Any thread.
"""

from __future__ import annotations

from typing import Any

import msgpack

from actors.domain.process_manager_spec import ProcessManagerSpec
from actors.domain.specs import CompiledDomain
from actors.process_managers.key_fingerprint import key_fingerprints
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.records import Checkpoint, ManagerMetadata
from actors.process_managers.unreadable_values import stored_class, unpack_plain
from storage.errors import CodecError
from storage.files.damage import damaged_records
from storage.log.log_reader import LogReader

__all__ = ["Leftovers"]


class Leftovers:
    """Of one store; `domain` is that of the code that opens it."""

    def __init__(self, domain: CompiledDomain) -> None:
        self._domain = domain
        self._records = RecordCodec(domain.codec)
        self._by_name = {
            name: spec for spec in domain.process_managers.values() for name in (spec.name, *spec.formerly)
        }
        self._rebuilds: dict[str, _Rebuild | None] = {}

    def left(self, log: LogReader, name: str) -> str:
        """A manager's instances, timers and undelivered effects in words; empty for none.

        Raises `DamagedStore`.
        """
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

    def needed(self, log: LogReader, name: str, key: bytes, value: bytes) -> bytes:
        """The part of one of a manager's records that the code may have to read; empty for none.

        That is all of it, unless the manager's version was raised: what its rebuild forgets is passed over,
        and so are rejections and timers that no handler takes any more. Of a manager that the code does not
        have, none is read.
        """
        if name not in self._by_name:
            return b""
        if name not in self._rebuilds:
            self._rebuilds[name] = self._rebuild(log, name)
        rebuild = self._rebuilds[name]
        try:
            return value if rebuild is None else rebuild.needed(key, value, self._records)
        except (CodecError, ValueError, TypeError, LookupError):
            return value  # what is damaged is found when it is read

    def _rebuild(self, log: LogReader, name: str) -> _Rebuild | None:
        spec, keys = self._by_name[name], RecordKeys(name)
        stored = log.note(keys.metadata)
        if stored is None:
            return None
        try:
            metadata = ManagerMetadata.unpack(self._domain.codec, stored)
        except CodecError:
            return None
        if metadata.version >= spec.version:
            return None
        raised = metadata.raised(spec.version, 0, key_fingerprints(spec))
        return _Rebuild(spec, keys, raised.restored_through is not None, self._domain)


class _Rebuild:
    """What the rebuild of a manager's states reads; `snapshots` says whether it begins from those."""

    def __init__(
        self, spec: ProcessManagerSpec, keys: RecordKeys, snapshots: bool, domain: CompiledDomain
    ) -> None:
        self._spec, self._keys, self._snapshots, self._codec = spec, keys, snapshots, domain.codec

    def needed(self, key: bytes, value: bytes, records: RecordCodec) -> bytes:
        keys = self._keys
        if key.startswith((keys.states, keys.timers)):
            return b""
        if key.startswith(keys.snapshots):
            state = records.snapshot(value).state
            return b"" if state is None or not self._snapshots else self._restored(state)
        if key.startswith((keys.history, keys.rejections)):
            return value if self._is_handled(value) else b""
        if key.startswith(keys.held):
            held = records.held(value)[2]
            return value if held is not None and self._is_handled(held) else b""
        return value

    def _is_handled(self, packed: bytes) -> bool:
        kind, _, _, _, message, *_ = unpack_plain(packed)
        if kind == "rejection":
            return self._takes(message[0], self._spec.rejections)
        return kind == "timer" and self._takes(message, self._spec.timers)

    def _restored(self, packed: bytes) -> bytes:
        state, timers = unpack_plain(packed)
        kept = [one for one in timers if self._takes(one[2], self._spec.timers)]
        return bytes(msgpack.packb([state, kept]))

    def _takes(self, message: Any, handlers: dict[type, Any]) -> bool:
        return stored_class(self._codec, message)[1] in handlers
