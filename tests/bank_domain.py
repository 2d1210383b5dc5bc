"""A small domain for tests of the engine: accounts, with money that moves between two of them, and two read
models.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from actors import Domain, Rejected
from actors.writer.decider_reader import Reader

bank = Domain("bank")


@bank.state(stream="account-{owner}", snapshot_every=10)
class Account:
    owner: str
    balance: int


@bank.event(Account, tags="owner-{owner}")
class Opened:
    owner: str


@bank.event(Account, tags=["money", "owner-{owner}"])
class Moved:
    owner: str
    amount: int


@bank.event(Account, state=None)
class Noted:
    owner: str
    text: str


@bank.event(state=None)
class Measured:
    value: int


@bank.command(Account)
class Open:
    owner: str


@bank.command(Account)
class Deposit:
    owner: str
    amount: int

    def validate(self) -> None:
        if self.amount < 0:
            raise Rejected("an amount is not negative", code="amount.negative", amount=self.amount)


@bank.command(Account)
class Transfer:
    owner: str
    to: str
    amount: int


@bank.command(Account)
class Note:
    owner: str
    text: str


@bank.decide
def open_account(account: None, command: Open) -> Iterator[Any]:
    yield Opened(command.owner)


@bank.decide
def deposit(account: Account, command: Deposit) -> Iterator[Any]:
    if command.amount:
        yield Moved(command.owner, command.amount)


@bank.decide
def transfer(account: Account, command: Transfer, read: Reader) -> Iterator[Any]:
    if read(Account, command.to) is None:
        raise Rejected(f"no account {command.to}", code="account.unknown", owner=command.to)
    if account.balance < command.amount:
        raise Rejected("too little money", code="balance.too_low", missing=command.amount - account.balance)
    yield Moved(command.owner, -command.amount)
    yield Moved(command.to, command.amount)


@bank.decide
def note(account: Account, command: Note) -> Noted:
    return Noted(command.owner, command.text)


@bank.evolve
def opened(account: None, event: Opened) -> Account:
    return Account(event.owner, 0)


@bank.evolve
def moved(account: Account, event: Moved) -> Account:
    return Account(account.owner, account.balance + event.amount)


balances = bank.read_model("balances")
accounts = balances.table("accounts", key="owner", indexes=["balance"])


@balances.on
def on_opened(event: Opened, tables: Any) -> None:
    tables[accounts].put({"owner": event.owner, "balance": 0})


@balances.on
def on_moved(event: Moved, tables: Any) -> None:
    balance = tables[accounts].get(event.owner)["balance"]
    tables[accounts].update(event.owner, balance=balance + event.amount)


journal = bank.read_model("journal")
entries = journal.table("entries", key="position")


@journal.on
def on_noted(event: Noted, tables: Any, recorded: Any) -> None:
    if event.text == "poison":
        raise RuntimeError("this note is poison")
    tables[entries].put(
        {"position": recorded.position, "owner": event.owner, "text": event.text, "time": recorded.time}
    )


@bank.query(reads=[balances])
class Richest:
    limit: int = 10

    def run(self, view: Any) -> Any:
        return view[accounts].range("balance", reverse=True, limit=self.limit)


@bank.query(reads=[balances])
class BalanceOf:
    owner: str

    def run(self, view: Any) -> int | None:
        row = view[accounts].get(self.owner)
        return None if row is None else row["balance"]


@bank.query(reads=[journal])
class Notes:
    def run(self, view: Any) -> list[str]:
        return [row["text"] for row in view[entries].all()]
