"""Traces one product update on its way through the running system, with the time of each hop.

The clock is `time.perf_counter`. Each mark is set by the thread that does the work: the writer's, sync's,
each replica's, and three threads that search. Nothing sleeps: the commit notifies the searchers of its
position, and they query with `after=`, as a client does that has a receipt.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import NamedTuple

from actors import System
from actors.demo.shop import DescribeProduct, ListProduct, SearchProducts, shop

SKU = "oak-writing-desk"
OLD_NAME = "Oak writing desk"
NEW_NAME = "Oak writing desk with lantern"
WORDS = "lantern desk"
SEARCHES = 3
TIMEOUT = 30.0


class Trace:
    """When the update was where. Each mark is set by the thread that does that part of the work."""

    def __init__(self) -> None:
        self.marks: dict[str, float] = {}
        self.position = 0
        self.committed = threading.Event()

    def mark(self, hop: str) -> None:
        self.marks.setdefault(hop, time.perf_counter())

    def on_committed(self, _first: int, last: int) -> None:
        """The writer's thread, after the fsync."""
        self.mark("write database: on disk")
        self.position = last
        self.committed.set()

    def on_broadcast(self, _first: int, _last: int) -> None:
        """Sync's thread, as it sends the event to the replica that projects for all of them."""
        self.mark("sync: sent to the replicas")

    def on_applied(self, replica: str, _position: int, _lag: float) -> None:
        """A replica's thread, after the transaction that holds the update."""
        self.mark(f"{replica}: in its tables")


class Searcher(threading.Thread):
    """Searches for the new name as soon as the update is committed."""

    def __init__(self, system: System, trace: Trace, number: int) -> None:
        super().__init__(name=f"search {number}", daemon=True)
        self._system = system
        self._trace = trace
        self.found: list[str] = []

    def run(self) -> None:
        if self._trace.committed.wait(TIMEOUT):
            rows = self._system.query(SearchProducts(WORDS), after=self._trace.position, timeout=TIMEOUT)
            self._trace.mark(f"{self.name}: sees the new name")
            self.found = [row["name"] for row in rows]


class Hop(NamedTuple):
    """Where the update was, and the seconds from the call until then."""

    where: str
    seconds: float


def trace_update(path: Path, replicas: int) -> list[Hop]:
    """Open a store in `path`, send one update through it, and return its hops in the order of time."""
    with System.open(path, shop, replicas=replicas) as system:
        system.execute(ListProduct(SKU, OLD_NAME, "tables", 34990))
        # The way is walked before it is timed, so that what happens on a first use is not in the figures.
        for draft in range(20):
            receipt = system.execute(DescribeProduct(SKU, OLD_NAME, f"Draft {draft}."))
            for _ in range(replicas):
                system.query(SearchProducts(OLD_NAME), after=receipt)
        system.wait_applied()
        return trace_rename(system)


def trace_rename(system: System) -> list[Hop]:
    """Rename the product; wait until every replica has the new name and every searcher saw it."""
    trace = Trace()
    searchers = [Searcher(system, trace, number + 1) for number in range(SEARCHES)]
    for searcher in searchers:
        searcher.start()
    system.on_committed(trace.on_committed)
    system.on_broadcast(trace.on_broadcast)
    system.on_applied(trace.on_applied)
    began_by_the_calendar, began = time.time(), time.perf_counter()
    receipt = system.execute(DescribeProduct(SKU, NEW_NAME, "With a lantern on a brass arm."))
    trace.mark("caller: has the receipt")
    for searcher in searchers:
        searcher.join(TIMEOUT)
        if searcher.found != [NEW_NAME]:
            raise RuntimeError(
                f"{searcher.name} asked after position {receipt.position} and found {searcher.found}"
            )
    system.wait_applied(receipt)
    (recorded,) = system.subscribe(receipt.position - 1, until=receipt)
    hops = [Hop(where, at - began) for where, at in trace.marks.items()]
    # The one mark that is not taken here: the event itself says when the command handler decided it.
    hops.append(Hop("command handler: decides", recorded.time.timestamp() - began_by_the_calendar))
    return sorted(hops, key=lambda hop: hop.seconds)
