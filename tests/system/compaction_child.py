"""The processes of test_live_compaction: one that is killed while it compacts, and one that reads.

Run as `python -m tests.system.compaction_child write STORE NAME` or `read STORE`.
"""

from __future__ import annotations

import sys
import threading

from actors import System
from tests.bank_domain import Deposit, Richest, bank


def write(path: str, name: str) -> None:
    """Compact again and again, while threads execute commands and say what was acknowledged."""
    with System.open(path, bank, replicas=1) as system:
        lock = threading.Lock()

        def work(thread: int) -> None:
            number = 0
            while True:
                number += 1
                id = f"{name}-{thread}-{number}"
                receipt = system.execute(Deposit("ann", number % 3), command_id=id)
                with lock:
                    print(id, receipt.position, flush=True)

        for thread in range(3):
            threading.Thread(target=work, args=(thread,), daemon=True).start()
        while True:
            done = system.compact()
            with lock:
                print("compacted", done.after, flush=True)


def read(path: str) -> None:
    """For each line of standard input, a line about the store."""
    with System.open(path, bank, mode="read", replicas=1) as system:
        print("open", flush=True)
        for _ in sys.stdin:
            [row] = system.query(Richest(), consistency="strong")
            health = system.health()
            print(row["balance"], system.position, health.status, *health.problems, flush=True)


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](*sys.argv[2:])
