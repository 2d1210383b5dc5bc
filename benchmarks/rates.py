"""The parts of the report that are tables of rates: commands, queries, and queries over several workers.

Runs on the main thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.aims import AIMS
from benchmarks.harness import APPLIED, CommandEntry, Entry, Results, measure
from benchmarks.plots import bars
from benchmarks.ratios import range_of
from benchmarks.report import promises, rates_figures, rates_rows
from benchmarks.section import Section
from benchmarks.suite import CARRIED, COMMANDS, QUERIES, RANGES, SUMS
from benchmarks.workload import RANGE_LENGTH, SUM_LENGTH


@dataclass(frozen=True)
class Size:
    """How much is measured.

    `only` are parts of the keys of the entries, all of them if empty; `largest` are the events of the largest
    store.
    """

    quick: bool
    rounds: int
    commands: int
    queries: int
    only: tuple[str, ...] = ()
    largest: int = 10_000_000


@dataclass(frozen=True)
class Table:
    """A part of the report: entries that are measured together, and the one they are compared with."""

    name: str
    title: str
    entries: Sequence[Entry]
    base: str
    base_name: str
    unit: str
    text: str

    def chosen(self, only: Sequence[str]) -> list[Entry]:
        """The entries with one of these in their key."""
        return [entry for entry in self.entries if not only or any(part in entry.key for part in only)]


COMMANDS_TEXT = """
Products are listed, then repriced in turn. Every command changes something; what was
written is counted afterwards. *raw LMDB* writes event and state in one transaction. The *bare loop* is plain
Pykka: its own inbox, `ask` with replies that come later, an fsync for what waits (up to 256), events as
msgpack; no states, streams, ids, checks. Its replicas are actors with an LMDB environment without fsync that
decode each event and keep the last one of each sku; *the same table* means whole rows and an index on the
price, as onewriter's replicas keep. The *stripped loop* takes off Pykka's inbox too. Pipelined entries send
everything, then wait for the last reply; how many that is matters, since what waits is memory that Python's
garbage collector walks, so all of them send the same number.
"""

QUERIES_TEXT = """
Products that were listed, looked up by key in an order without neighbours; answers are
checked beforehand. The *bare Pykka ask* is an actor that replies with a row that it has at hand, or with one
that it reads from LMDB: what a question to another thread costs by itself.
"""

RANGES_TEXT = f"""
The same products, the {RANGE_LENGTH} rows from a price on through an index.
"""

SUMS_TEXT = f"""
One caller, an event loop, keeps four batches on their way with `aquery_many`, so that each
worker has work: sums over {SUM_LENGTH} rows of an index, which are work for the worker and little to carry.
"""

CARRIED_TEXT = """
The same caller with look-ups by key, which are little work for the worker and much to carry.
"""

TABLES = [
    Table(
        "commands",
        "Commands a second",
        COMMANDS,
        "commands/bare-submit",
        "bare loop",
        "commands a second",
        COMMANDS_TEXT,
    ),
    Table(
        "queries",
        "Queries a second",
        QUERIES,
        "queries/lmdb-key",
        "raw LMDB",
        "queries a second",
        QUERIES_TEXT,
    ),
    Table(
        "ranges",
        "Ranges a second",
        RANGES,
        "ranges/lmdb",
        "raw LMDB",
        "ranges a second",
        RANGES_TEXT,
    ),
    Table(
        "sums",
        "Sums a second, over threads and processes",
        SUMS,
        "sums/process-1",
        "1 process",
        "sums a second",
        SUMS_TEXT,
    ),
    Table(
        "carried",
        "Rows a second, over threads and processes",
        CARRIED,
        "carried/process-1",
        "1 process",
        "rows a second",
        CARRIED_TEXT,
    ),
]


def rates_section(table: Table, folder: Path, size: Size) -> tuple[Section, bool]:
    """The table measured in `folder`; False if an entry failed."""
    chosen = table.chosen(size.only)
    results, sound = measure(
        chosen, folder=folder, rounds=size.rounds, commands=size.commands, queries=size.queries
    )
    numbers = f"Rounds: {size.rounds}; {size.commands:,} commands or {size.queries:,} queries"
    share = ", more of what is fast and fewer of what waits for the disk each time."
    return (
        Section(
            title=table.title,
            text="\n\n".join([table.text.strip(), numbers + share, "\n".join(promises(chosen, results))]),
            header=("", "callers", "median", "lowest", "highest", f"/ {table.base_name}"),
            rows=rates_rows(chosen, table.base, results),
            figures=rates_figures(results, AIMS),
            plots=[partial(_plot, table, chosen, results)],
        ),
        sound,
    )


def _plot(table: Table, entries: Sequence[Entry], results: Results, folder: Path) -> str:
    rates = {}
    for entry in entries:
        many = isinstance(entry, CommandEntry) and entry.callers > 1
        callers = f", {entry.callers:,} callers" if isinstance(entry, CommandEntry) and many else ""
        if entry.key in results.rates:
            rates[entry.label + callers] = range_of(results.rates[entry.key].values())
        if entry.key + APPLIED in results.rates:
            rates[f"{entry.label}{callers}, applied"] = range_of(results.rates[entry.key + APPLIED].values())
    return bars(folder / f"{table.name}.svg", rates, table.unit)
