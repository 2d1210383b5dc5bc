"""A domain for many tenants: parcels on a shelf, and a process manager that returns what nobody claims."""

from __future__ import annotations

import threading
from datetime import timedelta

from actors import Do, Domain, Rejected

parcels = Domain("parcels")
gate = threading.Event()
"""A decider of a parcel named "stuck" waits for it."""


@parcels.state(stream="parcel-{parcel}")
class Parcel:
    parcel: str
    returned: bool = False


@parcels.event(Parcel)
class Received:
    parcel: str
    patience: float


@parcels.event(Parcel)
class SentBack:
    parcel: str


@parcels.command(Parcel)
class Receive:
    parcel: str
    patience: float = 0.0


@parcels.command(Parcel)
class SendBack:
    parcel: str


@parcels.decide
def receive(parcel: Parcel | None, command: Receive):
    if command.parcel == "stuck":
        gate.wait(20)
    if parcel is not None:
        raise Rejected("it is here", code="parcel.here")
    yield Received(command.parcel, command.patience)


@parcels.decide
def send_back(parcel: Parcel, command: SendBack):
    yield SentBack(command.parcel)


@parcels.evolve
def received(parcel: None, event: Received) -> Parcel:
    return Parcel(event.parcel)


@parcels.evolve
def sent_back(parcel: Parcel, event: SentBack) -> Parcel:
    return Parcel(event.parcel, True)


shelf = parcels.read_model("shelf")
rows = shelf.table("rows", key="parcel")


@shelf.on
def on_received(event: Received, tables):
    tables[rows].put({"parcel": event.parcel})


@shelf.on
def on_sent_back(event: SentBack, tables):
    tables[rows].delete(event.parcel)


@parcels.query(reads=[shelf])
class Here:
    def run(self, view) -> list[str]:
        return sorted(row["parcel"] for row in view[rows].all())


keeping = parcels.process_manager("keeping", key="parcel", start="beginning")


@keeping.state
class Kept:
    parcel: str


@keeping.timer
class Unclaimed:
    pass


@keeping.on
def on_kept(state: None, event: Received, do: Do) -> Kept | None:
    if not event.patience:
        return None
    do.after(timedelta(seconds=event.patience), Unclaimed())
    return Kept(event.parcel)


@keeping.on_timer
def on_unclaimed(state: Kept, timer: Unclaimed, do: Do) -> None:
    do.execute(SendBack(state.parcel))
    do.end()
