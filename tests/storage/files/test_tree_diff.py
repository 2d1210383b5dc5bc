"""What changed between two transactions is found by the pages that they do not share: all of it, no more."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

import lmdb
import pytest

from storage.files.environment import open_environment
from storage.files.lmdb_pages import Meta, PageFile
from storage.files.tree_diff import changes_between

Contents = dict[bytes, dict[bytes, bytes]]
NAMES = [b"a", b"b", b"c"]


class State(NamedTuple):
    transaction: lmdb.Transaction[bytes]
    contents: Contents
    meta: Meta


def contents_of(environment: lmdb.Environment, transaction: lmdb.Transaction[bytes]) -> Contents:
    names = [bytes(name) for name, _ in transaction.cursor()]
    return {
        name: dict(transaction.cursor(environment.open_db(name, txn=transaction, create=False)))
        for name in names
    }


def change(environment: lmdb.Environment, dice: random.Random) -> None:
    name = dice.choice(NAMES)
    kind = dice.random()
    if kind < 0.03:
        database = environment.open_db(name)
        with environment.begin(write=True) as transaction:
            transaction.drop(database, delete=True)
        return
    database = environment.open_db(name)
    first = dice.randrange(3000)
    with environment.begin(write=True) as transaction:
        for number in range(first, first + dice.choice([1, 5, 300])):
            key = b"%05d" % number
            if kind < 0.4:
                transaction.delete(key, db=database)
            else:
                size = dice.choice([0, 10, 100, 5000]) if kind > 0.9 else 20
                transaction.put(key, dice.randbytes(size), db=database)


@pytest.mark.parametrize("seed", range(4))
def test_a_state_with_its_changes_is_the_later_state(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    environment = open_environment(tmp_path, map_size=1 << 28)
    file = (tmp_path / "data.mdb").open("rb")
    with environment, file:
        pages = PageFile(file.fileno())

        def state() -> State:
            transaction = environment.begin()
            meta = pages.meta_of(transaction.id())
            assert meta is not None
            return State(transaction, contents_of(environment, transaction), meta)

        before = state()
        for _ in range(12):
            for _ in range(dice.choice([0, 1, 3, 20])):
                change(environment, dice)
            after = state()
            found = {name: dict(held) for name, held in before.contents.items()}
            for name, changes in changes_between(pages, before.meta, after.meta):
                if changes is None:
                    del found[name]
                    continue
                held = found.setdefault(name, {})
                for key, value in changes:
                    assert held.get(key) != value
                    if value is None:
                        del held[key]
                    else:
                        held[key] = value
            assert found == after.contents
            before.transaction.abort()
            before = after
        before.transaction.abort()
