"""The process that test_archive_crash kills: it archives what is closed, removes it, and says each step.

Run as `python -m tests.system.archive_child STORE`.
"""

from __future__ import annotations

import sys
import threading
from contextlib import suppress

from actors import System, SystemClosed
from actors.retention import archiving
from actors.runtime import archive_moves
from tests.system.warehouse import Take, warehouse


def main(store: str) -> None:
    archiving.STEP = archiving.MOST = archive_moves.STEP = 7  # many transactions for few events
    with System.open(store, warehouse, replicas=1) as system:
        system.wait_applied()
        system.wait_process_managers()

        def take() -> None:
            with suppress(SystemClosed):
                while True:
                    system.execute(Take("busy"))

        threading.Thread(target=take, daemon=True).start()
        print("open", flush=True)
        plan = system.plan_archive()
        if plan.events:
            done = system.archive(
                plan, who="ann", why="old", progress=lambda done, total: print(f"step {done}", flush=True)
            )
            print(f"archived {done.number}", flush=True)
        print(f"removed {system.remove_archive(1, lose='all', who='ann', why='old').number}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
