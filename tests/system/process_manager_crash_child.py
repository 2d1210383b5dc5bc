"""The process that test_process_manager_crash kills: threads place and cancel orders, a process manager does
the rest.

Run as `python -m tests.system.process_manager_crash_child STORE LEDGER ROUND [broken]`. In each round
handlers fail for some orders, and deciders for others, most of the time: their instances are set aside, and
go on in between or in another round. With "broken" the process manager is robbed of what makes it exactly
once, so that the test can show that it would notice.
"""

from __future__ import annotations

import functools
import itertools
import os
import random
import secrets
import sys
import threading
from contextlib import suppress
from typing import Any

from actors import Rejected, System
from actors.demo.fulfilment import CancelOrder, PlaceOrder, StockUp, delivery, fulfilment, use_gateway
from actors.process_managers.decision import Do
from actors.process_managers.step_plan import StepPlan
from actors.writer.atomic_step import AtomicStep

THREADS = 6
SKUS = 5


class Ledger:
    """The payment provider: a file to append to, a line for each call, and answers that depend on the order
    alone.

    With `unreliable` the answer gets lost now and then after the money was taken, and never comes for some
    orders.
    """

    def __init__(self, path: str, unreliable: bool) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._unreliable = unreliable
        self._dice = random.Random()

    def charge(self, key: str, order_id: str, amount: int) -> str | None:
        dice = random.Random(order_id).random()
        if self._unreliable and dice < 0.05:
            raise ConnectionError("no answer")
        if dice > 0.9:
            return "no cover"
        self._write(f"charge {key} {order_id} {amount}")
        return None

    def refund(self, key: str, order_id: str, amount: int) -> None:
        self._write(f"refund {key} {order_id} {amount}")

    def _write(self, line: str) -> None:
        os.write(self._file, f"{line}\n".encode())
        if self._unreliable and self._dice.random() < 0.05:
            raise ConnectionError("the answer got lost")


def break_exactly_once() -> None:
    """Ids that are other ones each time, and a checkpoint that is seldom written and guards nothing."""
    sound = StepPlan.notes_for
    sound_step = StepPlan.step
    sound_id = Do._id

    def notes_for(plan: StepPlan, *args: Any) -> dict[bytes, bytes | None]:
        notes = sound(plan, *args)
        keep = random.random() < 0.02
        return {key: value for key, value in notes.items() if keep or not key.endswith(b"/place")}

    StepPlan.notes_for = notes_for

    def step(plan: StepPlan, *args: Any) -> AtomicStep:
        plan.guard = None
        return sound_step(plan, *args)

    StepPlan.step = step
    Do._id = lambda self, suffix: f"{sound_id(self, suffix)}-{secrets.token_hex(4)}"


def spoil(number: str) -> None:
    """Have handlers of the process manager, and deciders of its commands, fail for some orders of
    this round.
    """

    def fails(order_id: str, what: str) -> bool:
        spoilt = random.Random(f"{number} {order_id} {what}").random() < 0.2
        return spoilt and random.random() < 0.9

    def handler(fn: Any) -> Any:
        @functools.wraps(fn)
        def run(state: Any, message: Any, do: Do) -> Any:
            if fails(do.key, type(message).__name__):
                raise RuntimeError("a handler that fails for this order")
            return fn(state, message, do)

        return run

    def decider(fn: Any) -> Any:
        @functools.wraps(fn)
        def run(state: Any, command: Any, *read: Any) -> Any:
            if fails(command.order_id, "decider"):
                raise RuntimeError("a decider that fails for this order")
            return fn(state, command, *read)

        return run

    fulfilment.rules[:] = [rule._replace(fn=handler(rule.fn)) for rule in fulfilment.rules]
    for place, rule in enumerate(delivery.declarations.deciders):
        annotated = {str(one) for one in rule.fn.__annotations__.values()}
        if annotated & {"RequestPayment", "ArrangeShipment"}:
            delivery.declarations.deciders[place] = rule._replace(fn=decider(rule.fn))


def work(system: System, name: str, failed: threading.Event) -> None:
    """Place orders, cancel some of them at once, some later, some twice; stock up too little."""
    dice = random.Random(name)
    placed: list[str] = []
    try:
        for number in itertools.count():
            order = f"{name}-{number}"
            sku = f"s{dice.randrange(SKUS)}"
            system.execute(PlaceOrder(order, name, sku, dice.randrange(1, 4), dice.randrange(1, 9999)))
            placed.append(order)
            if dice.random() < 0.5:
                system.execute(StockUp(sku, dice.randrange(1, 5)))
            if dice.random() < 0.3:
                with suppress(Rejected):
                    system.execute(CancelOrder(dice.choice(placed[-10:])))
    except BaseException as error:
        print(f"{name} failed: {error!r}", flush=True)
        failed.set()


def main(store: str, ledger: str, number: str, *options: str) -> None:
    use_gateway(Ledger(ledger, unreliable=True))
    if "broken" in options:
        break_exactly_once()
    else:
        spoil(number)
    failed = threading.Event()
    with System.open(store, delivery, replicas=1) as system:
        print("open", flush=True)
        for worker in range(THREADS):
            threading.Thread(target=work, args=(system, f"r{number}-t{worker}", failed), daemon=True).start()
        failed.wait()
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
