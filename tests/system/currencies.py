"""Payments with a wrong currency, and what is to be corrected in them. Imported by worker processes, too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from actors import Domain, RecordedEvent, System

shop = Domain("currencies")


@shop.state(stream="account-{account}")
class Account:
    account: str
    euros: int
    dollars: int


@shop.event(Account, tags=["country-{country}"])
class Paid:
    account: str
    amount: int
    currency: str
    country: str = "us"


@shop.event(Account, tags=["country-{country}"])
class Waived:
    account: str
    country: str = "us"


@shop.event(state=None, stream="notes")
class Noted:
    text: str


@shop.command(Account)
class Pay:
    account: str
    amount: int
    currency: str


@shop.command(Account)
class Balance:
    account: str


@shop.decide
def pay(state: Account | None, command: Pay) -> Any:
    yield Paid(command.account, command.amount, command.currency)


@shop.decide
def balance(state: Account, command: Balance) -> Any:
    yield Paid(command.account, state.dollars, "seen")


@shop.evolve
def paid(state: Account | None, event: Paid) -> Account:
    before = state or Account(event.account, 0, 0)
    if event.currency == "EUR":
        return replace(before, euros=before.euros + event.amount)
    if event.currency == "USD":
        return replace(before, dollars=before.dollars + event.amount)
    return before


@shop.evolve
def waived(state: Account | None, event: Waived) -> Account:
    return state or Account(event.account, 0, 0)


sums = shop.read_model("sums")
by_currency = sums.table("by_currency", key="currency")


@sums.on
def count(event: Paid, tables: Any) -> None:
    row = tables[by_currency].get(event.currency) or {"sum": 0}
    tables[by_currency].put({"currency": event.currency, "sum": row["sum"] + event.amount})


texts = shop.read_model("texts")
lines = texts.table("lines", key="text")


@texts.on
def keep(event: Noted, tables: Any) -> None:
    tables[lines].put({"text": event.text})


@shop.query(reads=[sums], cache=True)
class Sum:
    currency: str

    def run(self, view: Any) -> int:
        row = view[by_currency].get(self.currency)
        return 0 if row is None else row["sum"]


def dollars(recorded: RecordedEvent) -> Any:
    """The correction: what was paid in euros was paid in dollars."""
    event = recorded.event
    return replace(event, currency="USD") if isinstance(event, Paid) and event.currency == "EUR" else None


def fill(system: System, number: int = 30) -> None:
    """Payments of 1 each, in three accounts, and a note."""
    for index in range(number):
        system.execute(Pay(f"a{index % 3}", 1, "EUR"))
    system.append("notes", [Noted("begun")])
    system.wait_applied()


__all__ = ["Account", "Balance", "Noted", "Paid", "Pay", "Sum", "Waived", "dollars", "fill", "shop"]
