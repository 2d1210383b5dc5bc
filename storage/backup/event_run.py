"""A run of events as blocks of a segment, without the rest of it. One thread, of any process."""

from __future__ import annotations

from typing import NamedTuple

from storage.backup.chain_follower import ChainFollower
from storage.backup.segment_format import BLOCK, EVENTS, Point, block_head, pack_events
from storage.backup.segment_source import read_stretch
from storage.log.log_reader import LogReader

__all__ = ["PackedRun", "RunTooLarge", "pack_run"]

MOST_BYTES = 16 << 20
"""Of a run."""


class RunTooLarge(Exception):
    """A run has more than `MOST_BYTES`, which nobody should keep in memory."""


class PackedRun(NamedTuple):
    """The blocks of a run, each behind its head, and the heads in a row."""

    heads: bytes
    blocks: list[bytes]

    @property
    def size(self) -> int:
        """Bytes of all blocks."""
        return sum(map(len, self.blocks))


def pack_run(log: LogReader, begin: Point, end: Point, stretch: int) -> PackedRun:
    """Pack the events between two points, with no link of the chain between them; all of it is verified.

    About `stretch` events are read in one transaction, and are a block. Raises DamagedStore, RunTooLarge.
    """
    with log.transaction() as transaction:
        archives = transaction.records.archives
    chain = ChainFollower(begin, f"the log in {log.path}", archives)
    blocks: list[bytes] = []
    size = 0
    while (left := end.position - chain.point.position) > 0:
        with log.transaction() as transaction:
            part = read_stretch(transaction, chain.point, min(stretch, left))
            chain.links(part.links)
            # Within the transaction: what is archived may need to know what the log has of its archive.
            chain.events(part.first, part.values)
        data = pack_events(part.first, part.values)
        blocks += block_head(EVENTS, data), data
        size += BLOCK.size + len(data)
        if size > MOST_BYTES:
            raise RunTooLarge(f"the events from position {begin.position + 1} on take more than {size} bytes")
    chain.go_on(end, end)
    return PackedRun(b"".join(blocks[::2]), blocks)
