"""The demo's tables: what became of the commands, the queries and the replicas, and what the check found.

The demo's thread.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal

from actors import System
from actors.demo.comparison import Compared, verify
from actors.demo.journey import JourneyCounts
from actors.demo.replay import LagSamples, Replayed
from actors.demo.report import Cell, Duration, Report
from actors.demo.shop import BestSellingCategories, StockAlerts, shop
from actors.demo.update_trace import Hop
from actors.demo.visitors import Visitor
from actors.health import CacheHealth

ASKED = 100
"""Queries of which the result cache should answer one."""


def show_hops(report: Report, hops: Sequence[Hop]) -> None:
    """Where the update was, and when."""
    befores = [0.0, *(hop.seconds for hop in hops)]
    report.table(
        "From the call to the last search",
        ("where", "after the call", "after the hop before"),
        [
            (hop.where, Duration(hop.seconds), Duration(hop.seconds - before))
            for hop, before in zip(hops, befores, strict=False)
        ],
    )


def show_commands(report: Report, result: Replayed, waited: float) -> None:
    """What became of the commands; `waited` seconds for the replicas after the last."""
    report.table(
        "Commands",
        ("", ""),
        (
            ("commands", result.commands),
            ("seconds", result.seconds),
            ("commands a second", round(result.commands / result.seconds)),
            ("events", result.events),
            ("accepted without an event", result.unchanged),
            ("rejected", result.rejected.total()),
            ("from the last receipt until all replicas had it", Duration(waited)),
        ),
    )
    rejected = [(code, command, count) for (command, code), count in result.rejected.most_common()]
    if rejected:
        report.table("Rejected, by reason", ("reason", "command", "times"), rejected)


def show_journey(report: Report, counts: JourneyCounts | None) -> None:
    """What the purchase lines of the journey were taken for."""
    if counts is None:
        return
    report.table(
        "How the purchase lines became commands",
        ("", ""),
        (
            ("purchase lines read", counts.lines),
            ("baskets", counts.baskets),
            ("products listed", counts.products),
            ("lines without a quantity, left out", counts.without_quantity),
            ("lines sold by measure, taken as one unit", counts.by_measure),
            ("lines given away, taken at one cent", counts.given_away),
            ("products missing from the product list", counts.unknown_products),
        ),
    )


def show_queries(report: Report, visitors: Sequence[Visitor]) -> None:
    """What the visitors asked while the commands ran, and how long the answers took."""
    rows: list[tuple[Cell, ...]] = [
        (visitor.name, len(visitor.seconds), round(rate_of(visitor)), *spread(visitor.seconds))
        for visitor in visitors
    ]
    taken = [sample for visitor in visitors for sample in visitor.seconds]
    rate = round(sum(map(rate_of, visitors)))
    rows.append(("all", len(taken), rate, *spread(taken)))
    report.table(
        "Queries, while the commands ran", ("thread", "queries", "a second", "p50", "p99", "max"), rows
    )
    asked = sum((visitor.asked for visitor in visitors), Counter[str]())
    report.table(
        "Queries, by kind", ("query", "asked"), [(name, count) for name, count in asked.most_common()]
    )


def rate_of(visitor: Visitor) -> float:
    """Queries a second."""
    return len(visitor.seconds) / visitor.elapsed if visitor.seconds else 0.0


def show_replicas(report: Report, system: System, lag: LagSamples) -> None:
    """What each replica applied and served, and its lag."""
    rows = [
        (
            replica.name,
            replica.events_applied,
            len(lag.of[replica.name]),
            *spread(lag.of[replica.name]),
            replica.queries_served,
        )
        for replica in system.health().replicas
    ]
    report.table(
        "Replicas: lag from commit to applied, and what each served",
        ("replica", "events", "batches", "lag p50", "lag p99", "lag max", "queries"),
        rows,
    )


def show_cache(now: CacheHealth | None, replayed: CacheHealth | None) -> tuple[bool, str]:
    """Whether the result cache answered queries by now, and a line that says how many.

    `replayed` is its health before the rebuild. If there were few queries it may have answered none.
    """
    if now is None or replayed is None:
        return False, "result cache: there is none"
    asked, asked_before = now.hits + now.misses, replayed.hits + replayed.misses
    return now.hits > 0 or asked < ASKED, (
        f"result cache: of the queries Cheapest and BestSellingCategories it answered {replayed.hits:,} of "
        f"{asked_before:,} while the commands ran, "
        f"and {now.hits - replayed.hits:,} of {asked - asked_before:,} after them"
    )


def show_answers(report: Report, system: System) -> None:
    """A few of the shop's own queries, after everything."""
    best = system.query(BestSellingCategories(5), consistency="strong")
    report.table(
        "Best-selling categories",
        ("category", "orders", "items", "revenue"),
        [(row["category"], row["orders"], row["quantity"], money(row["revenue"])) for row in best],
    )
    scarce = system.query(StockAlerts(5, 5), consistency="strong")
    report.table("Running out", ("product", "left"), [(row["name"], row["quantity"]) for row in scarce])


def money(cents: int) -> Decimal:
    """Cents in the currency's unit."""
    return Decimal(cents) / 100


def show_check(report: Report, system: System) -> int:
    """Compare every replica with the log, out loud; 0 if all are equal, else 1."""
    report.heading("Do the replicas agree with the log?")
    began = time.perf_counter()
    compared, wrong = verify(system, shop.declarations.read_models)
    report.say(
        f"{system.position:,} events folded again, one by one, into plain dictionaries, "
        f"and compared row by row in {time.perf_counter() - began:.1f} s:"
    )
    report.table(
        "Each replica's tables against the log",
        ("table", "rows", *system.replica_names),
        [
            (f"{of_table[0].model}/{of_table[0].table}", of_table[0].rows, *map(verdict, of_table))
            for of_table in by_table(compared)
        ],
    )
    if not wrong:
        report.good(f"OK: all {len(system.replica_names)} replicas equal the log.")
        return 0
    report.bad(f"DIFFERENT: {len(wrong):,} rows are not as the log says. The first of them:")
    for line in wrong[:10]:
        report.bad(f"  {line}")
    return 1


def by_table(compared: Iterable[Compared]) -> Iterable[list[Compared]]:
    """The comparisons of each table, those of all replicas together."""
    tables: dict[tuple[str, str], list[Compared]] = {}
    for one in compared:
        tables.setdefault((one.model, one.table), []).append(one)
    return tables.values()


def verdict(one: Compared) -> str:
    """What a cell says of a replica's table."""
    return f"{one.wrong:,} differ" if one.wrong else "equal"


def spread(samples: Iterable[float]) -> tuple[Duration, Duration, Duration]:
    """The median, the 99th percentile (nearest rank) and the greatest of some seconds."""
    ordered = sorted(samples) or [0.0]
    p50, p99 = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.50, 0.99))
    return Duration(p50), Duration(p99), Duration(ordered[-1])
