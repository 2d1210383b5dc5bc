"""A domain whose events go into three read models alike: into LMDB tables, an SQLite database and an object
in memory.

No projection may meet an event twice: each counts and adds up.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from actors import Domain

ledger = Domain("ledger")
failing: set[str] = set()
"""Names of models whose projections raise at a deposit of 13."""


@ledger.state(stream="account-{name}")
class Account:
    name: str
    balance: int


@ledger.command(Account)
class Deposit:
    name: str
    amount: int = 1


@ledger.event(Account)
class Deposited:
    name: str
    amount: int


@ledger.decide
def deposit(account: Account | None, command: Deposit):
    yield Deposited(command.name, command.amount)


@ledger.evolve
def deposited(account: Account | None, event: Deposited) -> Account:
    return Account(event.name, event.amount + (account.balance if account else 0))


in_tables = ledger.read_model("in_tables", version=1)
accounts = in_tables.table("accounts", key="name")


@in_tables.on
def into_tables(event: Deposited, tables: Any) -> None:
    row = tables[accounts].get(event.name) or {"name": event.name, "deposits": 0, "total": 0}
    row["deposits"] += 1
    row["total"] += event.amount
    tables[accounts].put(row)
    check("in_tables", event)


in_sqlite = ledger.read_model(
    "in_sqlite",
    version=1,
    engine="sqlite",
    schema="""
    CREATE TABLE accounts (
        name TEXT PRIMARY KEY, deposits INTEGER NOT NULL, total INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
)


@in_sqlite.on
def into_sqlite(event: Deposited, db: sqlite3.Connection) -> None:
    db.execute(
        "INSERT INTO accounts VALUES (?, 1, ?) ON CONFLICT (name) DO UPDATE "
        "SET deposits = deposits + 1, total = total + excluded.total",
        (event.name, event.amount),
    )
    check("in_sqlite", event)


in_memory = ledger.read_model("in_memory", version=1, engine="memory")
by_name = in_memory.object("by_name", dict)


@in_memory.on
def into_memory(event: Deposited, objects: Any) -> None:
    account = objects[by_name].setdefault(event.name, {"deposits": 0, "total": 0})
    account["deposits"] += 1
    account["total"] += event.amount
    check("in_memory", event)


def check(model: str, event: Deposited) -> None:
    """Raise, after the change was made, if this model is to fail."""
    if event.amount == 13 and model in failing:
        raise ValueError(f"{model} can't stand 13")


Totals = dict[str, tuple[int, int]]


@ledger.query(reads=[in_tables])
class InTables:
    def run(self, view: Any) -> Totals:
        return {row["name"]: (row["deposits"], row["total"]) for row in view[accounts].all()}


@ledger.query(reads=[in_sqlite])
class InSqlite:
    def run(self, view: Any) -> Totals:
        return {
            name: (deposits, total)
            for name, deposits, total in view[in_sqlite].execute("SELECT * FROM accounts")
        }


@ledger.query(reads=[in_memory])
class InMemory:
    def run(self, view: Any) -> Totals:
        return {name: (one["deposits"], one["total"]) for name, one in view[by_name].items()}


@ledger.query(reads=[in_tables, in_sqlite, in_memory])
class Everywhere:
    """What each of the three says, at one position."""

    def run(self, view: Any) -> tuple[Totals, Totals, Totals]:
        return InTables().run(view), InSqlite().run(view), InMemory().run(view)


@ledger.query(reads=[in_memory])
class Lent:
    """The object itself, as a careless query would return it."""

    def run(self, view: Any) -> Any:
        return view[by_name]


MODELS = (in_tables, in_sqlite, in_memory)
EACH = (InTables, InSqlite, InMemory)


def fold(events: Any) -> Totals:
    """What all of them should say."""
    totals: Totals = {}
    for recorded in events:
        deposits, total = totals.get(recorded.event.name, (0, 0))
        totals[recorded.event.name] = deposits + 1, total + recorded.event.amount
    return totals
