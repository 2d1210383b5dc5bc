"""Verifies a log: all checksums, the chain, and the indexes against the events. Any thread; may take minutes.

The chain is followed through the files of archives. Where the events of a removed one were, it can't be, and
goes on with the digest that is behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from storage.errors import DamagedStore
from storage.files.header import Header
from storage.log.archive_check import ArchiveCheck
from storage.log.chain import CHAIN, Link, stored_links
from storage.log.checksums import command_link, first_link, opened_event, opened_record, opened_stub
from storage.log.correction_check import CorrectionCheck
from storage.log.index_check import IndexCheck
from storage.log.open_log import LogTransaction
from storage.log.records import U64
from storage.log.unlocked_log import unlocked_log

__all__ = ["LogCheck", "checked_chain", "verify_log", "verify_store"]

MOST_FINDINGS = 1_000
"""So many are listed."""

SAID_EVERY = 10_000
"""Events between two calls of `progress`."""

Chain = tuple[int, str]


@dataclass(slots=True)
class LogCheck:
    """What a verification found.

    `events` is the log's last position, and `chain` the digest of the chain there, or None for a log of
    format 1 or 2. `findings` are the first thousand things that are wrong; none is what a sound log has.
    `archived` events are in archives, and `removed` ones were in archives that were removed. Of `unchecked`
    commits not all events are there any more, so that only their digests were read. `unavailable_archives`
    have a file that is missing or damaged, which is one finding each.
    """

    format: int
    events: int = 0
    chain: str | None = None
    findings: list[str] = field(default_factory=list)
    archived: int = 0
    removed: int = 0
    unchecked: int = 0
    unavailable_archives: int = 0

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
    log: LogTransaction,
    header: Header,
    *,
    chain: Chain | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LogCheck:
    """Verify all that the transaction sees; see `LogReader.verify` for `chain`, `progress` and errors."""
    wanted = checked_chain(chain)
    return _Verification(log, header, wanted, progress).run()


def verify_store(
    path: Path,
    chain: Chain | None = None,
    progress: Callable[[int, int], None] | None = None,
    archives_path: Path | None = None,
) -> LogCheck:
    """Verify the log in the directory `path`, to which nobody writes and whose pages are sound.

    It is mapped, and nothing is written; see `LogReader.verify` for `chain` and `progress`, and
    `unlocked_log` for `archives_path`. Raises NotAStore, NewerFormat, DamagedStore, ValueError.
    """
    with unlocked_log(path, archives_path) as (log, header):
        return verify_log(log, header, chain=chain, progress=progress)


class _Verification:
    """One verification."""

    def __init__(
        self,
        log: LogTransaction,
        header: Header,
        wanted: tuple[int, bytes] | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._transaction, self._databases, self._records = log
        self._wanted = wanted
        self._progress = progress
        self._check = LogCheck(header.format)
        self._corrections = CorrectionCheck(log, self._find)
        self._chain = first_link(header.first_history_id)
        self._met_wanted = False
        self._archives = ArchiveCheck(log, self._find)
        self._indexes = IndexCheck(log, header.history_id, self._find)

    def run(self) -> LogCheck:
        """Verify everything."""
        self._indexes.read()
        self._archives.read()
        self._corrections.read()
        links = self._links()
        self._meet(0, links)
        self._events(links)
        for link in links:
            self._find(f"the chain has a link at position {link.position}, which the log does not reach")
        self._corrections.end()
        self._archives.end()
        self._indexes.end()
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

    # -- events and the chain --------------------------------------------------------------------------------
    def _events(self, links: list[Link]) -> None:
        total = self._transaction.stat(self._databases["events"])["entries"]
        commit = sha256(self._chain + b"events")
        begin, broken, unknown = 1, False, False
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
                position, broken, self._indexes.lost = found, True, True
            if not position % SAID_EVERY and self._progress is not None:
                self._progress(position, total)
            event = self._event(position, stored)
            if event is None:
                self._find(
                    f"the event at position {position} is not what was written there: its checksum is wrong"
                )
                broken = self._indexes.lost = True
                continue
            outline, original, digest = event
            self._indexes.event(position, outline)
            if not self._records.checked:
                continue
            commit.update(original or b"")
            unknown |= original is None
            if digest is None:
                continue
            commit.update(position.to_bytes(8))
            if broken or (commit.digest() != digest and not unknown):
                self._find(
                    f"the events from position {begin} to {position} are not those that were committed "
                    "together: one was changed, removed or inserted, or something before them was"
                )
            self._check.unchecked += unknown
            self._chain = digest
            self._meet(position, links)
            commit = sha256(self._chain + b"events")
            begin, broken, unknown = position + 1, False, False
        self._check.events = position
        self._check.archived, self._check.removed = self._archives.archived, self._archives.removed
        self._check.unavailable_archives = self._archives.unavailable
        if self._records.checked and begin <= position:
            self._find(f"the log ends at position {position} in the middle of a commit: its end is missing")
        if self._progress is not None:
            self._progress(position, total)

    def _event(self, position: int, stored: bytes) -> tuple[bytes, bytes | None, bytes | None] | None:
        """An event with what the indexes need, its bytes as it was committed, None if they can't be had, and
        the chain's digest behind it, if any; None if it is damaged."""
        if not self._records.checked:
            return stored, stored, None
        opened = opened_event(position, stored)
        if opened is not None:
            return opened[0], self._corrections.original(position, opened[0]), opened[1]
        opened = opened_stub(position, stored)
        if opened is None:
            return None
        outline, event = self._archives.event(position, opened[0])
        return outline, None if event is None else self._corrections.original(position, event), opened[1]

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
                self._indexes.separate_commands += 1
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

    def _records_of(self, database: str) -> None:
        for key, stored in self._entries(database):
            try:
                self._records.record(database, key, stored)
            except DamagedStore as error:
                self._find(str(error))
