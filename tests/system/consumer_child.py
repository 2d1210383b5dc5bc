"""The process that test_consumers kills: it writes events, and consumes them in threads that compete.

Run as `python -m tests.system.consumer_child STORE NOTES`. Notes are lines `got P`, before an event is
acknowledged, and `acked P` once that is on disk; every third event is acknowledged without waiting, every
fifth fails once, and now and then one is parked. Each process begins with a replay of what those before it
parked.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import sys
import threading

from actors import System
from actors.subscriptions.consumer import Delivery
from tests.system.depot import Increment, depot

THREADS = 4
STREAMS = 7
PARKED = ("counter-c0", "counter-c1")
"""The streams that are; the others go on."""


def main(store: str, notes: str) -> None:
    file = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(text: str) -> None:
        os.write(file, f"{text}\n".encode())

    def handle(delivery: Delivery) -> None:
        note(f"got {delivery.position}")
        if delivery.position % 5 == 0 and delivery.attempt == 1:
            raise RuntimeError("fails once")
        if delivery.stream in PARKED and random.random() < 0.02:
            delivery.park("now and then")
        elif delivery.position % 3:
            delivery.ack(wait=True)
            note(f"acked {delivery.position}")

    logging.getLogger("onewriter").setLevel(logging.ERROR)
    with System.open(store, depot, replicas=1) as system:
        system.consume("mailer", handle, threads=THREADS, in_flight=20, category="counter")
        system.replay_parked("mailer")
        print("open", flush=True)

        def write(worker: int) -> None:
            for number in itertools.count():
                system.execute(Increment(f"c{(worker + number) % STREAMS}"))

        threads = [threading.Thread(target=write, args=(worker,), daemon=True) for worker in range(2)]
        for thread in threads:
            thread.start()
        threads[0].join()
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
