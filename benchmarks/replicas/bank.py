"""The bank that is measured: accounts are opened, then take deposits; its table has two indexes.

Deciders run on the command handler's thread, projections on a replica's.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from actors import Domain, Rejected
from benchmarks.growth.biglog import Fact

bank = Domain("bank")

ACCOUNTS = 1_000
OWNERS = 97
EACH = 5
"""Events of each account in a long log: its opening and four deposits, each after those of all others."""


@bank.state(stream="account-{number}")
class Account:
    number: int
    owner: str
    balance: int


@bank.event(Account)
class Opened:
    number: int
    owner: str


@bank.event(Account)
class Deposited:
    number: int
    amount: int


@bank.command(Account)
class Open:
    number: int
    owner: str


@bank.command(Account)
class Deposit:
    number: int
    amount: int


@bank.decide
def open_account(account: Account | None, command: Open) -> Iterator[Opened]:
    if account is not None:
        raise Rejected(f"account {command.number} is open already", code="account.open")
    yield Opened(command.number, command.owner)


@bank.decide
def deposit(account: Account | None, command: Deposit) -> Iterator[Deposited]:
    if account is None:
        raise Rejected(f"no account {command.number}", code="account.unknown")
    yield Deposited(command.number, command.amount)


@bank.evolve
def opened(_account: None, event: Opened) -> Account:
    return Account(event.number, event.owner, 0)


@bank.evolve
def deposited(account: Account, event: Deposited) -> Account:
    return Account(account.number, account.owner, account.balance + event.amount)


ledger = bank.read_model("ledger", version=1)
accounts = ledger.table("accounts", key="number", indexes=["owner", "balance"])


@ledger.on
def on_opened(event: Opened, tables: Any) -> None:
    tables[accounts].put({"number": event.number, "owner": event.owner, "balance": 0})


@ledger.on
def on_deposited(event: Deposited, tables: Any) -> None:
    row = tables[accounts].get(event.number)
    tables[accounts].update(event.number, balance=row["balance"] + event.amount)


def openings() -> list[Open]:
    """The commands that open all accounts."""
    return [Open(number, owner_of(number)) for number in range(ACCOUNTS)]


def deposits() -> Iterator[Deposit]:
    """Into all accounts in turn, without end."""
    for amount in count(1):
        yield Deposit(amount % ACCOUNTS, amount)


def owner_of(number: int) -> str:
    """One of a few: rows share the entries of this index."""
    return f"owner-{number % OWNERS}"


def facts(total: int) -> Iterator[Fact]:
    """A long log of this many events, for `write_log`."""
    number_of_accounts = -(-total // EACH)
    for number in range(total):
        turn, account = divmod(number, number_of_accounts)
        stream = f"account-{account}"
        if turn == 0:
            yield stream, 1, Opened(account, owner_of(account)), Open.__name__
        else:
            yield stream, turn + 1, Deposited(account, turn), Deposit.__name__


def expected(total: int) -> tuple[int, int]:
    """What the table holds after `facts`: the number of rows, and the sum of their balances."""
    number_of_accounts = -(-total // EACH)
    return number_of_accounts, sum(number // number_of_accounts for number in range(total))
