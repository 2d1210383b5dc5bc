"""Which threads of this process a command wakes, and what each of them uses, as Linux counts it.

A wake-up is a voluntary context switch: the thread waited, for a message, the interpreter or the disk, and
went on. Runs on the main thread, which is the caller.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks.replicas.sending import TIMEOUT, OpenBank

TASKS = Path("/proc/self/task")
SETTLED = 0.05
"""Seconds within which an idle system is done with one command."""

CALLER, LEADER, FOLLOWERS = "caller", "replica that leads", "other replicas, each"
HANDLER, SYNC = "command-handler", "sync"
PREFIX, REPLICA = "onewriter-", "replica-"


@dataclass(frozen=True)
class Use:
    """What one thread did: wake-ups, how often it was preempted, and seconds on a processor."""

    wakes: float = 0.0
    preempted: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Use) -> Use:
        return Use(self.wakes + other.wakes, self.preempted + other.preempted, self.cpu + other.cpu)

    def __sub__(self, other: Use) -> Use:
        return self + other.times(-1)

    def times(self, factor: float) -> Use:
        """All of it so many times."""
        return Use(self.wakes * factor, self.preempted * factor, self.cpu * factor)


Uses = dict[str, Use]
"""By the name of a thread."""


def countable() -> bool:
    """Whether this system says what a thread did."""
    return (TASKS / str(threading.get_native_id()) / "schedstat").exists()


def uses() -> Uses:
    """What each thread has done since it started; those that Python did not start are put together."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    names[threading.get_native_id()] = CALLER
    found: Uses = defaultdict(Use)
    for task in TASKS.iterdir():
        with suppress(OSError):  # it has ended meanwhile
            name = names.get(int(task.name), "others").removeprefix(PREFIX)
            found[name] += use_of((task / "status").read_text(), (task / "schedstat").read_text())
    return dict(found)


def use_of(status: str, schedstat: str) -> Use:
    """From the text of these two files. Pure."""
    switches = dict(line.split(":") for line in status.splitlines() if "_ctxt_switches" in line)
    return Use(
        int(switches["voluntary_ctxt_switches"]),
        int(switches["nonvoluntary_ctxt_switches"]),
        int(schedstat.split()[0]) / 1e9,
    )


def since(before: Mapping[str, Use]) -> Uses:
    """What each thread has done since then."""
    return {name: use - before.get(name, Use()) for name, use in uses().items()}


def in_a_loop(bank: OpenBank, commands: int) -> Uses:
    """A command's share, of one caller that executes one after the other."""
    todo = list(islice(bank.deposits, commands))
    before = uses()
    for command in todo:
        bank.system.execute(command)
    bank.system.wait_applied(timeout=TIMEOUT)
    return {name: use.times(1 / commands) for name, use in since(before).items()}


def when_idle(bank: OpenBank, times: int) -> Uses:
    """A single command's, on average, without what threads do in as much time without a command."""
    total: Uses = defaultdict(Use)
    for command in islice(bank.deposits, times):
        bank.system.wait_applied(timeout=TIMEOUT)
        before = uses()
        time.sleep(SETTLED)
        quiet = since(before)
        before = uses()
        bank.system.execute(command)
        time.sleep(SETTLED)
        for name, use in since(before).items():
            total[name] += use - quiet.get(name, Use())
    return {name: use.times(1 / times) for name, use in total.items()}


@dataclass(frozen=True)
class Threads:
    """What a command has the threads do, in a loop and on an idle system."""

    looping: Uses
    idle: Uses


def measure_threads(folder: Path, replicas: int, commands: int, times: int) -> Threads:
    """Of a new bank in `folder`: `commands` in a loop and `times` single ones."""
    bank = OpenBank(folder / "bank", replicas)
    try:
        in_a_loop(bank, max(commands // 5, 1))
        return Threads(in_a_loop(bank, commands), when_idle(bank, times))
    finally:
        bank.close()


def grouped(threads: Threads) -> Threads:
    """With two lines for the replicas: the one that leads, which works most, and the others' mean. Pure."""
    names = [name for name in threads.looping if name.startswith(REPLICA) and "." not in name]
    if not names:
        return threads
    leader = max(names, key=lambda name: threads.looping[name].cpu)
    followers = [name for name in names if name != leader]
    return Threads(
        *(_grouped(found, leader, followers) for found in (threads.looping, threads.idle)),
    )


def _grouped(found: Uses, leader: str, followers: list[str]) -> Uses:
    rest = {name: use for name, use in found.items() if name != leader and name not in followers}
    result = {name: rest.pop(name) for name in (CALLER, HANDLER, SYNC) if name in rest}
    result[LEADER] = found.get(leader, Use())
    if followers:
        total = sum((found.get(name, Use()) for name in followers), Use())
        result[FOLLOWERS] = total.times(1 / len(followers))
    return result | rest
