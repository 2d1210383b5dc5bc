"""Opens many stores in a process of its own, at the same time and with the default map, and uses each.

`python -m tests.system.many_stores_child PATH COUNT GIB` limits the address space to so many GiB; 0 leaves it
as it is. Prints what it took, a line a step, or the error.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

from actors import LimitReached, System
from tests.system.shelves import Books, Lend, shelves


def used() -> str:
    """Threads, descriptors, mappings and memory of this process, of which a store has its share."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    mappings = Path("/proc/self/maps").read_text().count("\n")
    return (
        f"{status['Threads'].strip()} threads, {len(os.listdir('/proc/self/fd'))} descriptors, "
        f"{mappings} mappings, {int(status['VmRSS'].split()[0]) >> 10} MiB"
    )


def main() -> None:
    path, count, gib = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if gib:
        resource.setrlimit(resource.RLIMIT_AS, (gib << 30, resource.RLIM_INFINITY))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    systems: list[System] = []
    try:
        since = time.monotonic()
        try:
            for number in range(count):
                systems.append(System.open(f"{path}/store-{number}", shelves, replicas=1))
        except LimitReached as error:
            print(f"store {len(systems) + 1}: {error}")
        print(f"opened {len(systems)} in {time.monotonic() - since:.1f} s: {used()}", file=sys.stderr)
        since = time.monotonic()
        receipts = [system.execute(Lend("dune")) for system in systems]
        answers = [
            system.query(Books(), after=receipt) for system, receipt in zip(systems, receipts, strict=True)
        ]
        print(f"a command and a query each in {time.monotonic() - since:.1f} s: {used()}", file=sys.stderr)
        different = len(set(map(repr, answers)))
        print(f"{len(systems)} open, {len(answers)} answers, {different} of them different")
    finally:
        since = time.monotonic()
        for system in systems:
            system.close()
        print(f"closed in {time.monotonic() - since:.1f} s: {used()}", file=sys.stderr)


if __name__ == "__main__":
    main()
