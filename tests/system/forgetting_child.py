"""The process that test_forgetting_crash kills: it writes of people, forgets some, and says what it did.

Run as `python -m tests.system.forgetting_child STORE MASTER_KEY ROUND`.
"""

from __future__ import annotations

import sys
import threading

from actors import System
from tests.system.people import Name, people

PEOPLE = 6


def main(store: str, master: str, number: str) -> None:
    saying = threading.Lock()

    def say(*words: object) -> None:
        with saying:
            print(*words, flush=True)

    with System.open(store, people, replicas=2, map_size=1 << 30, master_key=master) as system:
        say("open")

        def write(first: int) -> None:
            at = first
            while True:
                at += 2
                receipt = system.execute(Name(f"c{at % PEOPLE}", f"Name {number} {at}"))
                say("wrote", receipt.position, f"c{at % PEOPLE}", f"Name {number} {at}")

        for first in (0, 1):
            threading.Thread(target=write, args=(first,), daemon=True).start()
        turn = 0
        while True:
            turn += 1
            subject = f"c{turn % PEOPLE}"
            say("forgetting", subject)
            say("forgot", subject, system.forget(subject, wait=turn % 2 == 0).position)


if __name__ == "__main__":
    main(*sys.argv[1:])
