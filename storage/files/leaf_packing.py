"""Packs the entries of an LMDB database into fewer pages where values became smaller. The writer's thread.

LMDB leaves an entry in its page, and joins pages only if less than a quarter of each is in use. A compacting
copy copies pages as they are. So where most values were replaced by small ones, pages stay half empty. If the
entries of some pages are deleted and put again in order, LMDB fills each page before it begins the next one,
as long as no later entry is in the same page. That holds for the pages below one branch if the first of them
stays as it is, and the others are deleted from the last one back. Which these are is read from the file.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import islice

import lmdb

from storage.files.lmdb_pages import BIG, HEAD, NONE, Node, PageFile
from storage.files.tree_diff import databases_of

__all__ = ["Leaves", "leaves_at", "pack_leaves"]

FULL = 0.8
"""Pages that are this full on the average stay as they are."""
LARGE_BYTES = 4 << 20
"""So do those of which the values in pages of their own take more than this."""


class Leaves:
    """The leaves below one branch of a database: `first` and `last` are keys of the first entry after the
    first leaf, and of the last entry. `worth_packing` says whether packing them frees pages."""

    def __init__(self, pages: PageFile, numbers: list[int]) -> None:
        leaves = [pages.page(number) for number in numbers]
        entries: list[Node] = [node for leaf in leaves[1:] for node in pages.entries(leaf)]
        whole = entries or list(pages.entries(leaves[0]))
        self.first, self.last, self.count = whole[0].key, whole[-1].key, len(entries)
        unused = sum(upper - lower for _, _, _, lower, upper in map(HEAD.unpack_from, leaves))
        large = sum(node.length for node in entries if node.flags & BIG)
        room = len(leaves) * (pages.page_bytes - HEAD.size)
        self.worth_packing = room - unused < FULL * room and len(leaves) > 1 and large <= LARGE_BYTES


def leaves_at(pages: PageFile, transaction: int, database: bytes, key: bytes) -> Leaves | None:
    """The leaves of the branch that leads to a key, as a transaction committed them.

    None for a database that is empty or missing. Raises BrokenPage for a damaged file.
    """
    meta = pages.meta_of(transaction)
    tree = None if meta is None else dict(databases_of(pages, meta)).get(database)
    if tree is None or tree.root == NONE:
        return None
    numbers, page = [tree.root], pages.page(tree.root)
    for level in range(tree.depth - 1):
        if level:
            # The first key of a branch is not a key of its own.
            keys = [node.key for node in pages.entries(page)]
            page = pages.page(numbers[bisect_right(keys, key, lo=1) - 1])
        numbers = pages.below(page)
    return Leaves(pages, numbers)


def pack_leaves(transaction: lmdb.Transaction[bytes], database: lmdb._Database, leaves: Leaves) -> None:
    """Pack the entries of leaves, to which nothing was committed since they were looked at."""
    with transaction.cursor(database) as cursor:
        cursor.set_range(leaves.first)
        entries = list(islice(cursor.iternext(), leaves.count))
        for key, _ in reversed(entries):
            transaction.delete(key, db=database)
        cursor.putmulti(entries)
