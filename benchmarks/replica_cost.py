"""`python -m benchmarks.replica_cost`: what replicas cost, in processor time of a command.

A bank with one table and two indexes takes deposits in three ways: `execute` by one caller, `execute_many` by
a hundred, and `submit`. The time is that of all threads of the process, until every replica has applied all
of it. Numbers of replicas take turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from actors import Domain, Rejected, System
from benchmarks.machine import machine
from benchmarks.progress import show_progress

bank = Domain("bank")

ACCOUNTS = 1_000
MANY = 100
TIMEOUT = 120.0


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


def by_execute(system: System, commands: Sequence[Deposit]) -> None:
    for command in commands:
        system.execute(command)


def by_execute_many(system: System, commands: Sequence[Deposit]) -> None:
    for start in range(0, len(commands), MANY):
        system.execute_many(commands[start : start + MANY])


def by_submit(system: System, commands: Sequence[Deposit]) -> None:
    for future in [system.submit(command) for command in commands]:
        future.result(timeout=TIMEOUT)


WAYS: dict[str, tuple[Callable[[System, Sequence[Deposit]], None], float]] = {
    "execute": (by_execute, 0.2),
    "execute_many": (by_execute_many, 1.0),
    "submit": (by_submit, 1.0),
}
"""How commands are sent, and which part of `--commands`."""


class Bench:
    """An open bank with this number of replicas in threads."""

    def __init__(self, path: Path, replicas: int) -> None:
        self.system = System.open(path, bank, replicas=replicas)
        self.system.execute_many([Open(number, f"owner-{number % 97}") for number in range(ACCOUNTS)])
        self.system.wait_applied(timeout=TIMEOUT)
        self._amounts = count(1)

    def microseconds(self, way: str, commands: int) -> tuple[float, float]:
        """Of processor time, and of the clock, a command."""
        send, part = WAYS[way]
        number = max(int(commands * part), MANY)
        todo = [
            Deposit(amount % ACCOUNTS, amount)
            for amount, _ in zip(self._amounts, range(number), strict=False)
        ]
        used, clock = time.process_time(), time.perf_counter()
        send(self.system, todo)
        self.system.wait_applied(timeout=TIMEOUT)
        return (time.process_time() - used) / number * 1e6, (time.perf_counter() - clock) / number * 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.replica_cost", description=__doc__)
    parser.add_argument("--commands", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--dir", default=None, help="where the stores are made")
    options = parser.parse_args(arguments)
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as path:
        benches = {number: Bench(Path(path) / f"bank-{number}", number) for number in options.replicas}
        for turn in range(options.rounds + 1):
            show_progress(f"round {turn} of {options.rounds}")
            for way in WAYS:
                for number, bench in benches.items():
                    one = bench.microseconds(way, options.commands)
                    if turn:
                        found.setdefault((way, number), []).append(one)
        for bench in benches.values():
            bench.system.close()
    print(machine())
    first = options.replicas[0]
    print("\n| way | replicas | us of CPU | us | CPU beside the first |\n| --- | ---: | ---: | ---: | ---: |")
    for (way, number), results in found.items():
        ratios = [one[0] / base[0] for one, base in zip(results, found[way, first], strict=True)]
        cpu, clock = (statistics.median(column) for column in zip(*results, strict=True))
        print(f"| {way} | {number} | {cpu:.1f} | {clock:.1f} | {statistics.median(ratios):.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
