"""What changed in an LMDB environment between two transactions, found by the pages that they do not share.

LMDB never changes a page that a reader may see: a changed page gets another number, and so do those above it.
So pages with one number in both trees are the same, with all that is below them, and the work is as large as
the change. Both transactions are open meanwhile. Any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from storage.files.lmdb_pages import BIG, DB, NONE, PAGE, SUB, BrokenPage, Meta, Node, PageFile

__all__ = ["Change", "DatabaseChanges", "Tree", "changes_between", "databases_of"]


class Change(NamedTuple):
    """A key and its new value, None if it was deleted."""

    key: bytes
    value: bytes | None


class DatabaseChanges(NamedTuple):
    """A database and its changes in the order of keys; None if the database was dropped."""

    name: bytes
    changes: Iterator[Change] | None


class Tree(NamedTuple):
    """The tree of a database: the page of its root, NONE if it is empty, how high it is, and its flags."""

    root: int
    depth: int
    flags: int


_EMPTY = Tree(NONE, 0, 0)


def changes_between(pages: PageFile, before: Meta, after: Meta) -> Iterator[DatabaseChanges]:
    """The databases that differ. Use the changes of each one before you ask for the next.

    Raises BrokenPage for a damaged file, or one with what this library does not store.
    """
    old, new = (dict(databases_of(pages, meta)) for meta in (before, after))
    for name, tree in new.items():
        former = old.get(name, _EMPTY)
        # A new one may be empty.
        if former is _EMPTY or (former.root, former.depth) != (tree.root, tree.depth):
            if tree.flags or former.flags:
                raise BrokenPage(f"database {name!r} has flags {tree.flags:#x}")
            yield DatabaseChanges(name, _changes(pages, former, tree))
    for name in old.keys() - new.keys():
        yield DatabaseChanges(name, None)


def databases_of(pages: PageFile, meta: Meta) -> Iterator[tuple[bytes, Tree]]:
    """The databases of an environment, with their names. Raises BrokenPage for a damaged file."""
    for node in pages.tree(meta.main[7], meta.last_page):
        if not node.flags & SUB or node.length != DB.size:
            raise BrokenPage(f"{node.key!r} is not a database")
        found = DB.unpack_from(node.data, node.at)
        yield node.key, Tree(found[7], found[2], found[1])


def _changes(pages: PageFile, before: Tree, after: Tree) -> Iterator[Change]:
    old_leaves, new_leaves = _unshared_leaves(pages, before, after)
    old, new = _entries(pages, old_leaves), _entries(pages, new_leaves)
    was, now = next(old, None), next(new, None)
    while was is not None or now is not None:
        if now is None or (was is not None and was.key < now.key):
            assert was is not None
            yield Change(was.key, None)
            was = next(old, None)
        elif was is None or now.key < was.key:
            yield Change(now.key, pages.value(now))
            now = next(new, None)
        else:
            if not _same(was, now):
                yield Change(now.key, pages.value(now))
            was, now = next(old, None), next(new, None)


def _unshared_leaves(pages: PageFile, before: Tree, after: Tree) -> tuple[list[int], list[int]]:
    """The leaves of each tree that the other one does not have, in the order of keys."""
    old, new = ([tree.root] if tree.root != NONE else [] for tree in (before, after))
    old_height, new_height = before.depth, after.depth
    # A page is as high above the leaves in one tree as in the other.
    while max(old_height, new_height) > 1 or (old and new):
        if old_height == new_height:
            shared = set(old) & set(new)
            if shared:
                old, new = ([page for page in level if page not in shared] for level in (old, new))
            if old_height <= 1:
                break
        level = max(old_height, new_height)
        if old_height == level:
            old, old_height = _below(pages, old), level - 1
        if new_height == level:
            new, new_height = _below(pages, new), level - 1
    return old, new


def _below(pages: PageFile, level: list[int]) -> list[int]:
    return [below for number in level for below in pages.below(pages.page(number))]


def _entries(pages: PageFile, leaves: list[int]) -> Iterator[Node]:
    for number in leaves:
        yield from pages.entries(pages.page(number))


def _same(was: Node, now: Node) -> bool:
    if was.length != now.length or was.flags != now.flags:
        return False
    # A large value that was written again has other pages.
    length = PAGE.size if was.flags & BIG else was.length
    return was.data[was.at : was.at + length] == now.data[now.at : now.at + length]
