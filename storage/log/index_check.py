"""Verifies the indexes of a log against its events. Any thread.

Each event is looked up in the indexes, and then their entries are counted: an index with an entry for each
event, and no more entries than events, has no wrong one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgpack

from storage.errors import DamagedStore
from storage.log.checksums import opened_record
from storage.log.forgotten_ids import forgotten_through
from storage.log.open_log import LogTransaction
from storage.log.records import U64, command_packer, envelope_of, name_key
from storage.log.unindexed_tail import indexed_position

__all__ = ["IndexCheck"]


class IndexCheck:
    """The indexes of one log, as verifying it meets the events; what is wrong goes to `find`."""

    def __init__(self, log: LogTransaction, history_id: str, find: Callable[[str], None]) -> None:
        self._transaction, self._databases, self._records = log
        self._history_id = history_id
        self._find = find
        self.lost = False
        """Whether an event is damaged or missing, so that its index entries are not known."""
        self.separate_commands = 0
        """Records of commands that are in no event."""
        self._counts: Counter[str] = Counter()
        self._run: list[Any] | None = None
        self._run_key = b""
        self._indexed = self._forgotten = 0

    def read(self) -> None:
        """Find out up to which position the indexes have entries."""
        stored = None
        try:
            stored = indexed_position(self._transaction, self._databases, self._records)
        except DamagedStore as error:
            self._find(str(error))
        if self._records.checked:
            try:
                self._forgotten = forgotten_through(
                    self._transaction, self._databases, self._history_id, self._records
                )
            except DamagedStore as error:
                self._find(str(error))
        everything = self._transaction.stat(self._databases["events"])["entries"]
        self._indexed = everything if stored is None else stored

    def event(self, position: int, body: bytes) -> None:
        """Look an event up in the indexes, unless it is in the tail that they do not have yet."""
        if position > self._indexed:
            return
        try:
            stream, version, _, _, _, command_id, _, _, _, tags, _, *origin = envelope_of(body)
            prefix, command_key = name_key("stream", stream) + b"\0", command_id.encode()
            tag_keys = {name_key("tag", tag) + b"\0" for tag in tags}
        except Exception as error:
            self._find(f"the record at position {position} is not an event ({error})")
            return
        at = U64.pack(position)
        get, streams = self._transaction.get, self._databases["streams"]
        if get(prefix + U64.pack(version), db=streams) != at:
            self._find(f"the index of stream {stream!r} lacks version {version}, at position {position}")
        if version != 1 and get(prefix + U64.pack(version - 1), db=streams) is None:
            self._find(f"stream {stream!r} has version {version} and no version {version - 1}")
        for key in tag_keys:
            # An entry has no value: all of it is in its key.
            if get(key + at, db=self._databases["tags"]) != b"":
                tag = key[:-1].decode()
                self._find(f"the index of tag {tag!r} lacks position {position}, or is damaged there")
        self._counts["streams"] += 1
        self._counts["tags"] += len(tag_keys)
        if origin or command_key != self._run_key:
            self._end_run()
            self._run_key = command_key
            self._run = [position, 0, origin[0], "", 0] if origin else None
        if self._run is not None:
            self._run[1] += 1
            self._run[3:] = stream, version

    def _end_run(self) -> None:
        """Compare a command's record with that which its events give."""
        if self._run is None:
            return
        first, count, origin, stream, version = self._run
        self._run = None
        own = (origin, stream, version) if isinstance(origin, bytes) else origin
        stored = self._transaction.get(self._run_key, db=self._databases["commands"])
        record = command_packer()((first, count, *own))
        found = None if stored is None else opened_record("commands", self._run_key, stored)
        # An id that was forgotten may be that of a later command, whose record is compared there.
        if (stored is None and first <= self._forgotten) or _begins_after(found, first):
            return
        self._counts["commands"] += 1
        if self._records.checked and found != record:
            self._find(
                f"the record of command {self._run_key.decode()!r}, which begins at position {first}, is "
                "missing or another one"
            )

    def end(self) -> None:
        """Compare the numbers of entries, after the last event."""
        self._end_run()
        self._counts["commands"] += self.separate_commands
        for name in ("streams", "tags", "commands") if self._records.checked else ("streams", "tags"):
            entries = self._transaction.stat(self._databases[name])["entries"]
            if entries != self._counts[name] and not self.lost:
                self._find(f"the index of {name} has {entries} entries for {self._counts[name]}")


def _begins_after(record: bytes | None, position: int) -> bool:
    """Whether a command's record is of one that was committed after a position."""
    try:
        return record is not None and msgpack.unpackb(record)[0] > position
    except Exception:
        return False  # it is reported as damaged
