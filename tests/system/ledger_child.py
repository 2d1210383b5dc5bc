"""The process that test_engines kills: four threads deposit for ever, into models of all engines.

Run as `python -m tests.system.ledger_child STORE [COMMITS]`; with COMMITS it ends itself, without a trace of
order, between the commits of the engines, once that many of them were made.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from actors import System
from storage.engines.memory import store as memory
from storage.engines.memory.store import MemoryStore
from tests.system.ledger import Deposit, ledger

KILLED = 9


def end_between_commits(count: int) -> None:
    """Die before the memory engine's commit number `count`, when SQLite's is made."""
    commit = MemoryStore.commit
    made = 0

    def commit_or_die(store: MemoryStore, position: int, digest: bytes = b"") -> None:
        nonlocal made
        made += 1
        if made >= count:
            os._exit(KILLED)
        commit(store, position, digest)

    setattr(MemoryStore, "commit", commit_or_die)  # noqa: B010


def main(store: str, count: str = "") -> None:
    memory.SAVE_EVERY = 50
    if count:
        end_between_commits(int(count))
    with System.open(store, ledger, replicas=2) as system:
        print("open", flush=True)

        def work(worker: int) -> None:
            number = 0
            while True:
                outcomes: Any = [Deposit(f"a{(worker + number) % 7}", number % 5) for _ in range(10)]
                system.execute_many(outcomes)
                number += 1

        threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
