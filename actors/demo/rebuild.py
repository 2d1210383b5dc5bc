"""The part of the demo about rebuilds: a read model is built again while queries go on. The demo's thread."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Sequence

from actors import System
from actors.demo.report import Report
from actors.demo.shop.models import catalogue
from actors.demo.tables import spread
from actors.demo.visitors import KnownNames, Visitor, visitors

__all__ = ["show_rebuild"]

BEFORE = 1.0
"""Seconds of queries without a rebuild, to compare with."""


def show_rebuild(report: Report, system: System, known: KnownNames, threads: int) -> tuple[bool, str]:
    """Rebuild the model that most queries read, under queries, with their times beside.

    Returns whether each replica serves the new build and queries were answered meanwhile, and a line about it
    for the end. Whether the new tables are right is checked by the comparison with the log.
    """
    report.say(
        f"The model {catalogue.name!r} is rebuilt from {system.position:,} events on every replica, beside"
    )
    report.say(
        f"the tables in use, while {threads} threads go on with their queries; then each replica switches."
    )
    if not known.customers:
        # There are no queries before the first order, neither here nor while the commands ran.
        threads = 0
    system.wait_applied()
    served = applied(system)
    with visitors(system, known, threads) as before:
        threading.Event().wait(BEFORE)
    with visitors(system, known, threads) as during:
        began = time.perf_counter()
        system.rebuild(catalogue, wait=True)
        seconds = time.perf_counter() - began
    rows = [
        (text, took, len(taken), *spread(taken))
        for text, took, taken in (
            ("before", BEFORE, seconds_of(before)),
            ("while it was rebuilt", seconds, seconds_of(during)),
        )
    ]
    report.table("Queries beside a rebuild", ("", "seconds", "queries", "p50", "p99", "max"), rows)
    left = [one.replica for one in system.rebuilds() if one.model == catalogue.name]
    wrong = [f"{replica} still rebuilds {catalogue.name!r}" for replica in left]
    if threads and not seconds_of(during):
        wrong.append("no query was answered while the model was rebuilt")
    if applied(system) != served:
        wrong.append("a replica is elsewhere in the log than before the rebuild")
    for line in wrong:
        report.bad(f"WRONG: {line}")
    return not wrong, (
        f"rebuild: {catalogue.name!r} was rebuilt on {len(system.replica_names)} replicas in "
        f"{seconds:.2f} s; {len(seconds_of(during)):,} queries meanwhile, "
        f"p99 {spread(seconds_of(during))[1]} (before: {spread(seconds_of(before))[1]})"
    )


def applied(system: System) -> dict[str, int]:
    """Where each replica serves the model."""
    return {
        replica.name: model.applied
        for replica in system.health().replicas
        for model in replica.models
        if model.name == catalogue.name
    }


def seconds_of(crowd: Sequence[Visitor]) -> array[float]:
    """What each query took, of all threads."""
    return array("d", (sample for visitor in crowd for sample in visitor.seconds))
