"""The process that test_inline_crash kills: threads execute the club's commands and note what was
acknowledged.

Run as `python -m tests.system.inline_child STORE NOTES ROUND`.
"""

from __future__ import annotations

import os
import sys
import threading

from actors import Rejected, System
from tests.system.club import club, member_command

THREADS = 6


def main(store: str, notes_path: str, number: str) -> None:
    notes = os.open(notes_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    failed = threading.Event()
    with System.open(store, club, replicas=1) as system:
        print("open", flush=True)

        def work(worker: int) -> None:
            count = 0
            try:
                while True:
                    batch = [(worker + 1) * 1_000_003 * (count + step) for step in range(worker * 4 + 1)]
                    count += len(batch)
                    ids = [f"{number}-{worker}-{count - step}" for step in range(len(batch))]
                    futures = [
                        system.submit(member_command(one), command_id=command_id)
                        for one, command_id in zip(batch, ids, strict=True)
                    ]
                    for future, command_id in zip(futures, ids, strict=True):
                        try:
                            last = future.result().last
                        except Rejected:
                            continue
                        # One write: once the thread goes on, the line outlives the process.
                        os.write(notes, f"{command_id} {last}\n".encode())
            except BaseException as error:
                print(f"worker {worker} failed: {error!r}", flush=True)
                failed.set()

        for worker in range(THREADS):
            threading.Thread(target=work, args=(worker,), daemon=True).start()
        failed.wait()
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
