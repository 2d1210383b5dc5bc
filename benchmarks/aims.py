"""What onewriter aims at, as ratios of one run, and whether a run met it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.harness import APPLIED
from benchmarks.ratios import Range, range_at, ratio_key

IN_THREADS, IN_PROCESSES, ONE_REPLICA = "3 in threads", "3 in processes", "1 replica"
IN_ONE_PROCESS, ONE_CORE = "1 in a process", "on one core"
DEFAULT = "the default"
"""A system that is opened without options: three replicas in threads, on all cores."""


@dataclass(frozen=True)
class Aim:
    """One of `candidates`, by name the key of its figure, is to reach `bound`, or not to pass it (`at_most`).

    Without a bound it is no aim but a figure to be seen beside the aim above it.
    """

    text: str
    candidates: Mapping[str, str]
    bound: float | None = None
    at_most: bool = False


@dataclass(frozen=True)
class Judged:
    """An aim after a run: the best candidate and its figure, or none if none was measured."""

    aim: Aim
    name: str = ""
    found: Range | None = None

    @property
    def met(self) -> bool | None:
        """None if it was not measured, or is no aim."""
        if self.found is None or self.aim.bound is None:
            return None
        within = self.found.median <= self.aim.bound
        return within if self.aim.at_most else self.found.median >= self.aim.bound


def judged(aims: Iterable[Aim], figures: Mapping[str, float]) -> list[Judged]:
    """Each aim with the best of its candidates."""
    results = []
    for aim in aims:
        found = [(range_at(key, figures), name) for name, key in aim.candidates.items()]
        measured = [(one, name) for one, name in found if one is not None]
        if not measured:
            results.append(Judged(aim))
            continue
        best, name = (min if aim.at_most else max)(measured, key=lambda pair: pair[0].median)
        results.append(Judged(aim, name, best))
    return results


def _submitted(other: str, applied: bool = False) -> dict[str, str]:
    suffix = APPLIED if applied else ""
    return {
        IN_THREADS: ratio_key("commands/onewriter-submit" + suffix, other),
        IN_PROCESSES: ratio_key("commands/onewriter-processes-submit" + suffix, other),
    }


def _only(one: str, other: str) -> dict[str, str]:
    return {"": ratio_key(one, other)}


def _default(key: str, other: str | None = None) -> dict[str, str]:
    return {DEFAULT: key if other is None else ratio_key(key, other)}


OF_THE_DEFAULT = [
    Aim(
        "one caller, execute / raw LMDB, one fsync each",
        _default("commands/onewriter-1", "commands/lmdb-1"),
        0.75,
    ),
    Aim(
        "the same / eventsourcing, cached",
        _default("commands/onewriter-1", "commands/eventsourcing-cached-1"),
        1.0,
    ),
    Aim(
        "one caller, execute_many by 100 / raw LMDB in commits of 100",
        _default("commands/onewriter-many", "commands/lmdb-many"),
        0.3,
    ),
    Aim(
        "one caller, submit, until 3 replicas have applied / eventsourcing, cached",
        _default("commands/onewriter-submit" + APPLIED, "commands/eventsourcing-cached-1"),
        12.0,
    ),
    Aim(
        "64 threads, execute / UmaDB with 64 clients",
        _default("commands/onewriter-64", "commands/umadb-64"),
        1.0,
    ),
    Aim(
        "replication lag p99 at half of the highest rate, in milliseconds",
        _default("lag/thread/p99_milliseconds"),
        5.0,
        at_most=True,
    ),
]
"""What a user gets who asks for nothing; these count, and are shown first."""

OF_THREE_REPLICAS = [
    *(
        Aim(
            f"processor time of a command by {way}, 3 replicas / 1",
            _default(f"replicas/{way}/cpu_ratio"),
            1.3,
            at_most=True,
        )
        for way in ("execute", "execute_many", "submit")
    ),
    Aim(
        "catching up from nothing, processor time, 3 replicas / 1",
        _default("replicas/catching_up/cpu_ratio"),
        1.4,
        at_most=True,
    ),
    Aim(
        "the same, by the clock",
        _default("replicas/catching_up/wall_ratio"),
        1.4,
        at_most=True,
    ),
    Aim(
        "most memory at 100,000 commands a minute, 3 replicas / 1",
        _default("replicas/memory/peak_ratio"),
        1.15,
        at_most=True,
    ),
]
"""What three replicas cost beside one."""

OF_THE_BEST = [
    Aim("pipelined submit, to the last reply / bare loop", _submitted("commands/bare-submit"), 0.8),
    Aim("the same / stripped loop", _submitted("commands/stripped-submit")),
    Aim("the same / eventsourcing, as installed", _submitted("commands/eventsourcing-1"), 12.0),
    Aim("the same / eventsourcing, cached", _submitted("commands/eventsourcing-cached-1")),
    Aim(
        "pipelined submit, until 3 replicas have applied / bare loop with 3 replicas, applied",
        _submitted("commands/bare-three-replicas-submit" + APPLIED, applied=True),
        0.8,
    ),
    Aim(
        "the same / bare loop with 3 replicas that keep the same table, applied",
        _submitted("commands/bare-three-tables-submit" + APPLIED, applied=True),
    ),
    Aim(
        "execute_many in hundreds / raw LMDB in commits of 100",
        {
            IN_THREADS: ratio_key("commands/onewriter-many", "commands/lmdb-many"),
            IN_PROCESSES: ratio_key("commands/onewriter-processes-many", "commands/lmdb-many"),
            IN_ONE_PROCESS: ratio_key("commands/onewriter-one-process-many", "commands/lmdb-many"),
        },
        0.35,
    ),
    Aim(
        "64 threads executing / UmaDB with 64 clients",
        {
            IN_THREADS: ratio_key("commands/onewriter-64", "commands/umadb-64"),
            ONE_REPLICA: ratio_key("commands/onewriter-one-replica-64", "commands/umadb-64"),
            IN_PROCESSES: ratio_key("commands/onewriter-processes-64", "commands/umadb-64"),
            f"{IN_THREADS}, {ONE_CORE}": ratio_key("commands/onewriter-one-core-64", "commands/umadb-64"),
            f"{ONE_REPLICA}, {ONE_CORE}": ratio_key(
                "commands/onewriter-one-replica-one-core-64", "commands/umadb-64"
            ),
            f"{IN_ONE_PROCESS}, the rest {ONE_CORE}": ratio_key(
                "commands/onewriter-one-process-one-core-64", "commands/umadb-64"
            ),
        },
        1.5,
    ),
    Aim(
        "the same, 1 replica on one core / UmaDB with its 64 clients on one core",
        _only("commands/onewriter-one-replica-one-core-64", "commands/umadb-one-core-64"),
    ),
    Aim(
        "1,000 asyncio tasks executing / pipelined submit",
        _only("commands/onewriter-tasks", "commands/onewriter-submit"),
        0.8,
    ),
    Aim(
        "one thread executing / raw LMDB, one fsync each",
        {
            IN_THREADS: ratio_key("commands/onewriter-1", "commands/lmdb-1"),
            ONE_REPLICA: ratio_key("commands/onewriter-one-replica-1", "commands/lmdb-1"),
            IN_PROCESSES: ratio_key("commands/onewriter-processes-1", "commands/lmdb-1"),
        },
        0.75,
    ),
    Aim(
        "point query through a query actor, one caller / bare Pykka ask",
        _only("queries/onewriter-query", "queries/pykka-ask"),
        0.8,
    ),
    Aim("query_many of 100 / one by one", _only("queries/onewriter-many", "queries/onewriter-query"), 10.0),
    Aim("view get / raw LMDB get and decode", _only("queries/onewriter-view", "queries/lmdb-key"), 0.5),
    Aim(
        "query_many, one caller, 2 worker processes / 1, sums",
        _only("sums/process-2", "sums/process-1"),
        1.7,
    ),
    Aim(
        "the same, point queries",
        _only("carried/process-2", "carried/process-1"),
    ),
    Aim(
        "replication lag p99 at half of the highest rate, 3 replicas, in fsyncs",
        {
            IN_THREADS: "lag/thread/p99_in_fsyncs",
            IN_PROCESSES: "lag/process/p99_in_fsyncs",
            f"{IN_THREADS}, {ONE_CORE}": "lag/one-core/p99_in_fsyncs",
        },
        3.0,
        at_most=True,
    ),
    Aim(
        "opening the largest store, of 10^7 events unless asked otherwise / one of 10^4",
        {"": "growth/opening_ratio"},
        1.2,
        at_most=True,
    ),
    Aim(
        "memory with the largest store open / with one of 10^5 events",
        {"": "growth/memory_ratio"},
        1.1,
        at_most=True,
    ),
    Aim("the same after work all over the log, the caches full", {"": "growth/working_memory_ratio"}),
]
"""What the best of several ways of running reaches, and what does not depend on them."""

AIMS = [*OF_THE_DEFAULT, *OF_THREE_REPLICAS, *OF_THE_BEST]
