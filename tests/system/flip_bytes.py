"""Flips a byte of a closed store of a bank at a time, reads everything, and says whether that was found.

`python -m tests.system.flip_bytes --flips 1000 [--seed N]`. Each flip is read by a process of its own, since
a damaged page may end it. The outcomes:

- found: something raised an error, at opening or when it was read
- ended: LMDB ended the process over a damaged page; `verify` has to find it
- harmless: all is as before; `verify` may find it, where it is in an index entry that nobody needed
- served: something else than before was read, without an error; there must be none
- broke: something raised an error that is none of ours; there must be none
- hung: a process did not end within two minutes; there must be none
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actors import Domain, OnewriterError, Rejected, System
from storage.files.page_check import find_all_problems
from storage.log.verification import verify_store

ACCOUNTS = 40
DEPOSITS = 25
TIMEOUT = 10.0
LIMIT = 120
"""Seconds after which a process that reads everything counts as hung: it ends by SIGALRM."""

bank = Domain("bank")


@bank.state(stream="account-{owner}", snapshot_every=10)
class Account:
    owner: str
    balance: int


@bank.event(Account, tags="branch-{branch}")
class Moved:
    owner: str
    branch: int
    amount: int


@bank.command(Account)
class Deposit:
    owner: str
    amount: int


@bank.command(Account)
class Show:
    """Is always rejected, with the balance that the writer knows."""

    owner: str


@bank.decide
def deposit(account: Account | None, command: Deposit) -> list[Any]:
    return [Moved(command.owner, command.amount % 7, command.amount)] if command.amount else []


@bank.decide
def show(account: Account | None, command: Show) -> None:
    raise Rejected("shown", code="shown", balance=0 if account is None else account.balance)


@bank.evolve
def moved(account: Account | None, event: Moved) -> Account:
    return Account(event.owner, (0 if account is None else account.balance) + event.amount)


balances = bank.read_model("balances")
accounts = balances.table("accounts", key="owner")


@balances.on
def on_moved(event: Moved, tables: Any) -> None:
    row = tables[accounts].get(event.owner)
    balance = event.amount + (0 if row is None else row["balance"])
    tables[accounts].put({"owner": event.owner, "balance": balance})


@bank.query(reads=[balances])
class Balances:
    def run(self, view: Any) -> list[Any]:
        return [[row["owner"], row["balance"]] for row in view[accounts].range()]


def owners() -> list[str]:
    return [f"owner{number:03}" for number in range(ACCOUNTS)]


def make(path: Path, replicas: int = 1) -> None:
    """Make the store: single commits and bulk, commands without events, a consumer."""
    with System.open(path, bank, replicas=replicas) as system:
        for number in range(DEPOSITS):
            commands = [
                Deposit(owner, 100 * number + at + 1) for at, owner in enumerate(owners()) if at or number % 5
            ]
            system.execute_many(commands)
            system.execute(Deposit(owners()[0], 0), command_id=f"nothing-{number}")
            system.execute(Deposit(owners()[0], number + 1), command_id=f"one-{number}")
        with system.consumer("letters") as consumer:
            for delivery in consumer:
                delivery.ack(wait=True)
                if delivery.recorded.position == 50:
                    break
        system.wait_applied()


def read_everything(path: Path) -> list[Any]:
    """All that a program can ask of the store."""
    found: list[Any] = []
    with System.open(path, bank, replicas=1) as system:
        found.append(system.streams())
        for owner in owners():
            stream = system.stream(f"account-{owner}")
            found.append([[one.position, one.version, one.event.amount, one.time_us] for one in stream])
            try:
                system.execute(Show(owner), timeout=TIMEOUT)
            except Rejected as rejected:
                found.append(rejected.details["balance"])
        for branch in range(7):
            found.append([one.position for one in system.tagged(f"branch-{branch}")])
        for number in range(DEPOSITS):
            for command_id, amount in ((f"nothing-{number}", 0), (f"one-{number}", number + 1)):
                receipt = system.execute(Deposit(owners()[0], amount), command_id=command_id, timeout=TIMEOUT)
                found.append([receipt.position, receipt.version])
        found.append(system.position)
        found.append([[one.name, one.position] for one in system.consumers()])
        # At last: what a replica waits for in vain is a timeout, and an error of a stream comes at once.
        found.append(system.query(Balances(), consistency="strong", timeout=TIMEOUT))
    return found


def in_a_process(work: Callable[[], Any]) -> tuple[str, Any]:
    """The outcome of `work()` in a forked process: returned, raised, broke, ended or hung, with what."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LIMIT)
        try:
            try:
                answer: list[Any] = ["returned", work()]
            except OnewriterError as error:
                answer = ["raised", f"{type(error).__name__}: {error}"]
            except Exception as error:
                answer = ["broke", f"{type(error).__name__}: {error}"]
            with os.fdopen(writer, "w") as pipe:
                json.dump(answer, pipe)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if not text:
        code = os.waitstatus_to_exitcode(status)
        return ("hung" if code == -signal.SIGALRM else "ended"), code
    outcome, value = json.loads(text)
    return outcome, value


def verified(path: Path) -> bool:
    """Whether `onewriter verify` finds nothing, which looks at every page before it maps one."""
    return not find_all_problems(path / "data.mdb") and verify_store(path).sound


def try_flip(store: Path, at: int, mask: int, expected: Any) -> tuple[str, str]:
    """The outcome of one flip, and what was told."""
    with (store / "data.mdb").open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ mask]))
    sound = in_a_process(lambda: verified(store))
    shown = "verify is silent" if sound == ("returned", True) else "verify finds it"
    how, value = in_a_process(lambda: read_everything(store))
    if "hung" in (how, sound[0]):
        return "hung", shown if how == "hung" else "verify hangs"
    if how == "raised":
        return "found", f"{value.partition(':')[0]}, {shown}"
    if "broke" in (how, sound[0]):
        return "broke", str(value if how == "broke" else sound[1])
    if how == "ended":
        return "ended", shown
    return ("harmless" if value == expected else "served"), shown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    chosen = random.Random(options.seed)
    bank.compile()  # so that the forked processes have what that keeps
    outcomes: Counter[str] = Counter()
    details: Counter[str] = Counter()
    bad = []
    with tempfile.TemporaryDirectory() as directory:
        sound, flipped = Path(directory, "sound"), Path(directory, "flipped")
        assert in_a_process(lambda: make(sound)) == ("returned", None)
        shutil.rmtree(sound / "replicas")
        shutil.copytree(sound, flipped)
        how, expected = in_a_process(lambda: read_everything(flipped))
        assert how == "returned", expected
        size = (sound / "data.mdb").stat().st_size
        for _ in range(options.flips):
            shutil.rmtree(flipped)
            shutil.copytree(sound, flipped)
            at, mask = chosen.randrange(size), chosen.randrange(1, 256)
            outcome, told = try_flip(flipped, at, mask, expected)
            outcomes[outcome] += 1
            details[f"{outcome}: {told}"] += 1
            if outcome in ("served", "hung", "broke") or (outcome == "ended" and told == "verify is silent"):
                bad.append([at, mask, outcome, told])
    print(
        json.dumps(
            {"seed": options.seed, "bytes": size, **outcomes, "details": details, "bad": bad}, indent=1
        )
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
