"""The process that test_workflows_crash kills: threads begin cases with random scripts, a process manager
follows them.

Run as `python -m tests.oracle.workflow_child STORE LEDGER ROUND VERSION`. Each call of the outside is a line
of the ledger.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
import threading
from contextlib import suppress

from actors.testing import TestSystem
from tests.oracle.workflow_domain import Call, Outside, Workflows, settle
from tests.oracle.workflow_scripts import a_script, encoded

THREADS = 3
VICTIMS = ("manager-worker", "outbox-worker", "command-handler")


def ledger_at(path: str) -> Outside:
    """An outside that writes down each call before it answers."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return Outside(lambda call: os.write(file, f"{' '.join(map(str, call))}\n".encode()) and None)


def calls_of(path: str) -> list[Call]:
    """What it wrote."""
    found = []
    with open(path) as file:
        for line in file:
            key, case, number, taken = line.split()
            found.append(Call(key, case, int(number), taken == "True"))
    return found


def begin_cases(system: TestSystem, workflows: Workflows, name: str) -> None:
    """Begin one case after another."""
    dice = random.Random(name)
    for number in itertools.count():
        case = f"{name}-{number}"
        system.execute(workflows.start(case, encoded(a_script(dice.choice))))
        if dice.random() < 0.1:
            workflows.spoilt.add(case)


def disturb(system: TestSystem, workflows: Workflows, outside: Outside, name: str) -> None:
    """Kill actors, mend and retry now and then."""
    dice = random.Random(name)
    pause = threading.Event()
    while not pause.wait(dice.uniform(0.01, 0.1)):
        chance = dice.random()
        if chance < 0.4:
            system.kill(dice.choice(VICTIMS))
        elif chance < 0.6:
            workflows.spoilt.clear()
        elif chance < 0.8:
            outside.mended = not outside.mended
        else:
            with suppress(KeyError):  # Another one took it from what was parked.
                settle(system)


def main(store: str, ledger: str, number: str, version: str) -> None:
    outside = ledger_at(ledger)
    workflows = Workflows(outside, int(version))
    failed = threading.Event()

    def run(work: object, *args: object) -> None:
        try:
            work(*args)  # type: ignore[operator]
        except BaseException as error:
            print(f"failed: {error!r}", flush=True)
            failed.set()

    with TestSystem.open(store, workflows.domain, replicas=1) as system:
        print("open", flush=True)
        for one in range(THREADS):
            name = f"r{number}t{one}"
            threading.Thread(target=run, args=(begin_cases, system, workflows, name), daemon=True).start()
        threading.Thread(target=run, args=(disturb, system, workflows, outside, number), daemon=True).start()
        failed.wait()
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
