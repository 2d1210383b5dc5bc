"""`make bench-tenants`: many stores in one process: opening a closed one, what an open one takes, and what
they cost while little happens in each.

Opening is by `Systems.use` of a closed store with so many events, while no other is open; its file is in the
system's cache. What open ones take is the difference that opening them made, divided by their number. The
load is a command a second for each tenant, evenly over the second, by one thread per ten tenants.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from actors import Domain, Systems
from benchmarks.durations import Durations
from benchmarks.machine import machine
from benchmarks.progress import show_progress

domain = Domain("tenants")


@domain.state(stream="counter-{name}")
class Counter:
    name: str
    total: int


@domain.event(Counter)
class Counted:
    name: str
    units: int


@domain.command(Counter)
class Count:
    name: str
    units: int


@domain.decide
def count(counter: Counter | None, command: Count) -> Counted:  # noqa: ARG001
    return Counted(command.name, command.units)


@domain.evolve
def counted(counter: Counter | None, event: Counted) -> Counter:
    return Counter(event.name, event.units + (counter.total if counter else 0))


totals = domain.read_model("totals")
by_name = totals.table("by_name", key="name")


@totals.on
def on_counted(event: Counted, tables: Any) -> None:
    tables[by_name].put({"name": event.name, "units": event.units})


@domain.query(reads=[totals])
class Known:
    def run(self, view: Any) -> int:
        return sum(1 for _ in view[by_name].all())


NAMES_OF_A_STORE = 50
TENANTS_OF_A_THREAD = 10


class Taken(NamedTuple):
    """What this process has of each."""

    threads: int
    files: int
    mappings: int
    memory: int


def taken() -> Taken:
    """Of the whole process, at this moment."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return Taken(
        int(status["Threads"]),
        len(os.listdir("/proc/self/fd")),
        Path("/proc/self/maps").read_text().count("\n"),
        int(status["VmRSS"].split()[0]) << 10,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.tenants", description=__doc__)
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--events", type=int, default=1_000, help="in each store")
    parser.add_argument("--openings", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0, help="of rest, and of load")
    parser.add_argument("--dir", default=None, help="where the stores are made")
    options = parser.parse_args(arguments)
    allow_files(options.tenants)
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as path:
        names = [f"tenant-{number:04}" for number in range(options.tenants)]
        fill(Path(path), names, options.events)
        opening = measure_opening(Path(path), names, options.openings)
        with Systems(path, domain, max_open=len(names), replicas=1) as systems:
            before = taken()
            began = time.monotonic()
            for name in names:
                systems.get(name)
            all_open = time.monotonic() - began
            after = taken()
            show_progress("resting")
            at_rest = processor_share(lambda: time.sleep(options.seconds))
            latency = Durations()
            show_progress("a command a second for each")
            loaded = processor_share(lambda: load(systems, names, options.seconds, latency))
            show_progress("closing")
            began = time.monotonic()
        closing = time.monotonic() - began
    show_progress("")
    print(machine())
    cold, ready, closed = (one.quantiles((0.5, 0.99)) for one in opening)
    each = [(b - a) / len(names) for a, b in zip(before[:3], after[:3], strict=True)]
    print(f"\n| one of {len(names):,} tenants with {options.events:,} events | median | 99 % |")
    print("| --- | ---: | ---: |")
    print(f"| opened on demand | {1e3 * cold[0]:.1f} ms | {1e3 * cold[1]:.1f} ms |")
    print(f"| opened, and a strong query answered | {1e3 * ready[0]:.1f} ms | {1e3 * ready[1]:.1f} ms |")
    print(f"| closed | {1e3 * closed[0]:.1f} ms | {1e3 * closed[1]:.1f} ms |")
    print("\n| an open tenant takes | |\n| --- | ---: |")
    for what, number in zip(("threads", "open files", "memory mappings"), each, strict=True):
        print(f"| {what} | {number:.1f} |")
    print(f"| memory | {(after.memory - before.memory) / len(names) / 2**20:.2f} MiB |")
    middle, late = latency.quantiles((0.5, 0.99))
    print(f"\n| {len(names):,} open tenants | |\n| --- | ---: |")
    print(f"| opened one after the other | {all_open:.2f} s |")
    print(f"| closed together | {closing:.2f} s |")
    print(f"| at rest | {100 * at_rest:.1f} % of a core |")
    print(f"| a command a second for each | {100 * loaded:.1f} % of a core |")
    print(f"| such a command takes | {1e3 * middle:.2f} ms, 99 % {1e3 * late:.2f} ms |")
    return 0


def allow_files(tenants: int) -> None:
    """Raise the limit of open files as far as so many stores need, if the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = min(max(soft, 100 + 10 * tenants), hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def fill(folder: Path, names: Sequence[str], events: int) -> None:
    """Make the stores, with their events in a few streams."""
    with Systems(folder, domain, max_open=20, replicas=1) as systems:
        for number, name in enumerate(names):
            show_progress(f"filling {number + 1:,} of {len(names):,} stores")
            with systems.use(name) as system:
                system.execute_many([Count(f"n-{one % NAMES_OF_A_STORE}", one) for one in range(events)])
                system.wait_applied()


def measure_opening(folder: Path, names: Sequence[str], times: int) -> tuple[Durations, Durations, Durations]:
    """Opening one on demand; that with a strong query; and closing it."""
    cold, ready, closed = Durations(), Durations(), Durations()
    for number in range(times):
        show_progress(f"opening {number + 1:,} of {times:,}")
        with Systems(folder, domain, replicas=1) as systems:
            began = time.perf_counter()
            with systems.use(names[number % len(names)]) as system:
                cold.record(time.perf_counter() - began)
                assert system.query(Known(), consistency="strong") <= NAMES_OF_A_STORE
                ready.record(time.perf_counter() - began)
            began = time.perf_counter()
            system.close()
            closed.record(time.perf_counter() - began)
    return cold, ready, closed


def processor_share(work: Callable[[], object]) -> float:
    """Seconds of a core that the process takes in a second while `work()` runs."""
    began, spent = time.monotonic(), time.process_time()
    work()
    return (time.process_time() - spent) / (time.monotonic() - began)


def load(systems: Systems, names: Sequence[str], seconds: float, latency: Durations) -> None:
    """A command a second for each of them, by one thread per `TENANTS_OF_A_THREAD`."""
    lock, end = threading.Lock(), time.monotonic() + seconds

    def send(mine: Sequence[str], offset: float) -> None:
        found, due, number = Durations(), time.monotonic() + offset, 0
        while due < end:
            time.sleep(max(due - time.monotonic(), 0.0))
            with systems.use(mine[number % len(mine)]) as system:
                began = time.perf_counter()
                system.execute(Count("n-1", number))
                found.record(time.perf_counter() - began)
            number += 1
            due += 1 / len(mine)
        with lock:
            latency.merge(found)

    groups = [names[at : at + TENANTS_OF_A_THREAD] for at in range(0, len(names), TENANTS_OF_A_THREAD)]
    threads = [
        threading.Thread(target=send, args=(group, number / len(groups) / TENANTS_OF_A_THREAD))
        for number, group in enumerate(groups)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    sys.exit(main())
