"""Verifies a log: all checksums, the chain, and the indexes against the events. Any thread; may take minutes.

Each event is looked up in the indexes, and then their entries are counted: an index with an entry for each
event, and no more entries than events, has no wrong one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import lmdb
import msgpack

from storage.errors import DamagedStore
from storage.files.header import Header
from storage.log.chain import CHAIN, Link, stored_links
from storage.log.checksums import command_link, first_link, opened_event, opened_record
from storage.log.correction_check import CorrectionCheck
from storage.log.forgotten_ids import forgotten_through
from storage.log.record_format import RecordFormat
from storage.log.records import U64, command_packer, envelope_of, name_key
from storage.log.unindexed_tail import indexed_position
from storage.log.unlocked_log import unlocked_log

__all__ = ["LogCheck", "checked_chain", "verify_log", "verify_store"]

MOST_FINDINGS = 1_000
"""So many are listed."""

SAID_EVERY = 10_000
"""Events between two calls of `progress`."""

Databases = dict[str, lmdb._Database]
Chain = tuple[int, str]


@dataclass(slots=True)
class LogCheck:
    """What a verification found.

    `events` is the log's last position, and `chain` the digest of the chain there, or None for a log of
    format 1 or 2. `findings` are the first thousand things that are wrong; none is what a sound log has.
    """

    format: int
    events: int = 0
    chain: str | None = None
    findings: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


def checked_chain(chain: Chain | None) -> tuple[int, bytes] | None:
    """A position and a digest as `chain_head` gives them, the digest as bytes. Raises ValueError."""
    if chain is None:
        return None
    position, digest = chain
    try:
        wanted = bytes.fromhex(digest)
    except (TypeError, ValueError):
        wanted = b""
    if len(wanted) != 32 or isinstance(position, bool) or not isinstance(position, int) or position < 0:
        raise ValueError(
            f"a head of the chain is a position and 64 hexadecimal digits, as chain_head() returns them, not "
            f"{chain!r}"
        )
    return position, wanted


def verify_log(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    header: Header,
    records: RecordFormat,
    *,
    chain: Chain | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LogCheck:
    """Verify all that the transaction sees; see `LogReader.verify` for `chain` and `progress`."""
    wanted = checked_chain(chain)
    verification = _Verification(transaction, databases, header, records, wanted, progress)
    return verification.run()


def verify_store(
    path: Path, chain: Chain | None = None, progress: Callable[[int, int], None] | None = None
) -> LogCheck:
    """Verify the log in the directory `path`, to which nobody writes and whose pages are sound.

    It is mapped, and nothing is written; see `LogReader.verify` for `chain` and `progress`. Raises NotAStore,
    NewerFormat, DamagedStore, ValueError.
    """
    with unlocked_log(path) as (log, header):
        return verify_log(log.transaction, log.databases, header, log.records, chain=chain, progress=progress)


class _Verification:
    """One verification."""

    def __init__(
        self,
        transaction: lmdb.Transaction[bytes],
        databases: Databases,
        header: Header,
        records: RecordFormat,
        wanted: tuple[int, bytes] | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._transaction = transaction
        self._databases = databases
        self._records = records
        self._wanted = wanted
        self._progress = progress
        self._check = LogCheck(header.format)
        self._corrections = CorrectionCheck(transaction, databases, records, self._find)
        self._chain = first_link(header.first_history_id)
        self._met_wanted = False
        self._indexed = 0
        self._counts: Counter[str] = Counter()
        self._lost = False  # an event is damaged or missing, so its index entries are not known
        self._run: list[Any] | None = None
        self._run_key = b""
        self._history_id = header.history_id
        self._forgotten = 0

    def run(self) -> LogCheck:
        """Verify everything."""
        self._read_indexed()
        self._corrections.read()
        links = self._links()
        self._meet(0, links)
        self._events(links)
        self._end_run()
        for link in links:
            self._find(f"the chain has a link at position {link.position}, which the log does not reach")
        self._corrections.end()
        self._index_counts()
        if self._records.checked:
            self._check.chain = self._chain.hex()
            for database in ("commands", "snapshots", "notes"):
                self._records_of(database)
        if self._wanted is not None and not self._met_wanted:
            position, digest = self._wanted
            self._find(
                f"the chain has no digest {digest.hex()} at position {position}: the history up to there is "
                "not the one for which it was kept"
            )
        return self._check

    def _find(self, finding: str) -> None:
        if len(self._check.findings) < MOST_FINDINGS:
            self._check.findings.append(finding)

    def _entries(self, database: str) -> Iterator[tuple[bytes, bytes]]:
        with self._transaction.cursor(self._databases[database]) as cursor:
            yield from cursor

    def _read_indexed(self) -> None:
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

    # -- events and the chain --------------------------------------------------------------------------------
    def _events(self, links: list[Link]) -> None:
        total = self._transaction.stat(self._databases["events"])["entries"]
        commit = sha256(self._chain + b"events")
        begin, broken = 1, False
        position = 0
        for key, stored in self._entries("events"):
            position += 1
            if key != U64.pack(position):
                found = U64.unpack(key)[0] if len(key) == 8 else None
                if found is None or found < position:
                    self._find(f"there is an event under the key {key!r}, which is no position")
                    position -= 1
                    continue
                self._find(f"the events at positions {position} to {found - 1} are missing")
                position, broken, self._lost = found, True, True
            if not position % SAID_EVERY and self._progress is not None:
                self._progress(position, total)
            opened = opened_event(position, stored) if self._records.checked else (stored, None)
            if opened is None:
                self._find(
                    f"the event at position {position} is not what was written there: its checksum is wrong"
                )
                broken = self._lost = True
                continue
            body, digest = opened
            self._index_entries(position, body)
            if not self._records.checked:
                continue
            commit.update(self._corrections.original(position, body))
            if digest is None:
                continue
            commit.update(position.to_bytes(8))
            if broken or commit.digest() != digest:
                self._find(
                    f"the events from position {begin} to {position} are not those that were committed "
                    "together: one was changed, removed or inserted, or something before them was"
                )
            self._chain = digest
            self._meet(position, links)
            commit = sha256(self._chain + b"events")
            begin, broken = position + 1, False
        self._check.events = position
        if self._records.checked and begin <= position:
            self._find(f"the log ends at position {position} in the middle of a commit: its end is missing")
        if self._progress is not None:
            self._progress(position, total)

    def _links(self) -> list[Link]:
        """The links of command records and corrections, the last one first."""
        links: list[Link] = []
        if self._records.checked:
            for entry in self._entries(CHAIN):
                try:
                    links += stored_links([entry], self._records)
                except DamagedStore as error:
                    self._find(str(error))
        return links[::-1]

    def _meet(self, position: int, links: list[Link]) -> None:
        """Follow the links at a position where a commit of events ends."""
        self._met_wanted |= self._wanted == (position, self._chain)
        while links and links[-1].position <= position:
            at, digest, ids, correction = links.pop()
            if correction:
                if at != position or self._corrections.follow(self._chain, position, correction) != digest:
                    self._find(
                        f"correction {correction}, made when the log ended at position {at}, is not as it "
                        "was, or something before it is not"
                    )
                self._follow(position, digest)
                continue
            commands = []
            for command_id in ids:
                stored = self._transaction.get(command_id, db=self._databases["commands"])
                record = None if stored is None else opened_record("commands", command_id, stored)
                self._counts["separate commands"] += 1
                if record is not None:
                    commands.append((command_id, record))
            if at != position or command_link(self._chain, position, commands) != digest:
                self._find(
                    f"the {len(ids)} command records that were committed together after position {at}, the "
                    f"first of them {ids[:1]!r}, are not as they were, or something before them is not"
                )
            self._follow(position, digest)

    def _follow(self, position: int, digest: bytes) -> None:
        self._chain = digest
        self._met_wanted |= self._wanted == (position, digest)

    # -- the indexes -----------------------------------------------------------------------------------------
    def _index_entries(self, position: int, body: bytes) -> None:
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
            if get(key + at, db=self._databases["tags"]) is None:
                self._find(f"the index of tag {key[:-1].decode()!r} lacks position {position}")
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

    def _index_counts(self) -> None:
        self._counts["commands"] += self._counts["separate commands"]
        for name in ("streams", "tags", "commands") if self._records.checked else ("streams", "tags"):
            entries = self._transaction.stat(self._databases[name])["entries"]
            if entries != self._counts[name] and not self._lost:
                self._find(f"the index of {name} has {entries} entries for {self._counts[name]}")

    def _records_of(self, database: str) -> None:
        for key, stored in self._entries(database):
            try:
                self._records.record(database, key, stored)
            except DamagedStore as error:
                self._find(str(error))


def _begins_after(record: bytes | None, position: int) -> bool:
    """Whether a command's record is of one that was committed after a position."""
    try:
        return record is not None and msgpack.unpackb(record)[0] > position
    except Exception:
        return False  # it is reported as damaged
