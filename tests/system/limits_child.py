"""Opens a store in a process of its own that has run out of something, and prints what comes of it, a line a
try.
"""

from __future__ import annotations

import os
import resource
import sys
import threading

from actors import OnewriterError, System
from tests.system.shelves import Lend, shelves


def opened(path: str, **settings: object) -> str:
    """What an opening comes to: "opened", or the error."""
    try:
        with System.open(path, shelves, replicas=1, map_size=1 << 24, **settings) as system:
            system.wait_applied()
    except OnewriterError as error:
        return f"{type(error).__name__}: {error}"
    return "opened"


def open_files(path: str, workers: str) -> None:
    """With a limit that is one higher each time, until it is enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for free in range(200):
        used = {int(name) for name in os.listdir("/proc/self/fd")}
        unused = [number for number in range(soft) if number not in used]
        resource.setrlimit(resource.RLIMIT_NOFILE, (unused[free], hard))
        outcome = opened(path, workers=workers)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        print(outcome, flush=True)
        if outcome == "opened":
            return


def threads(path: str) -> None:
    """With stacks for which there is no room in the address space; a few of them, one more each time."""
    stack = 64 << 20
    print(opened(path), flush=True)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    threading.stack_size(stack)
    for number in range(1, 20):
        limit = used + (200 << 20) + number * stack
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        outcome = opened(path)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(outcome, flush=True)
        if outcome == "opened":
            return


def main() -> None:
    what, path, *rest = sys.argv[1:]
    with System.open(path, shelves, replicas=1) as system:
        system.execute(Lend("dune"))
        system.wait_applied()
    {"open_files": open_files, "threads": threads}[what](path, *rest)
    print(opened(path))


if __name__ == "__main__":
    main()
