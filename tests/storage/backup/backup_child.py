"""The process of the kill test: writes and backs up for ever, or restores, until it is killed."""

from __future__ import annotations

import random
import sys
import threading

from storage import EventLog
from storage.backup import backup_writer, run_pool
from storage.backup.restore import restore_backup
from storage.backup.take_backup import take_backup
from tests.storage.backup.histories import CODEC, ArchivingHistory


def back_up(path: str, backups: str, seed: int) -> None:
    """A thread writes and another one backs up, both as fast as they can."""
    dice = random.Random(seed)
    backup_writer.STRETCH = 20  # many transactions, and many writes between them
    backup_writer.LEFT = 30
    run_pool.RUN = 50
    backup_writer.workers_for = lambda _: int(dice.random() < 0.2)  # type: ignore[assignment]
    history = ArchivingHistory(path, seed)  # type: ignore[arg-type]
    with history.log as log:
        history.go_on()

        def write() -> None:
            while True:
                history.step()
                if log.head and dice.random() < 0.02:
                    history.archive()

        threading.Thread(target=write, daemon=True).start()
        print("begins", flush=True)
        while True:
            take_backup(log, backups, full=dice.random() < 0.3)


def main(mode: str, path: str, backups: str, seed: str) -> None:
    """Back a log up, or restore it to `path`."""
    if mode == "backup":
        back_up(path, backups, int(seed))
    print("begins", flush=True)
    while True:
        restore_backup(backups, path)
        with EventLog.open(path, CODEC):
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
