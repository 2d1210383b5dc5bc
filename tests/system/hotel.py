"""The domain of the tests of projections that change what they iterate: all rooms of a hotel get dearer at
once.
"""

from __future__ import annotations

from typing import Any

from actors import Domain, Rejected

hotel = Domain("hotel")


@hotel.event(state=None)
class RoomAdded:
    room: int
    price: int


@hotel.event(state=None)
class AllRaised:
    by: int
    at_most: int = 10**9


@hotel.state(stream="hotel")
class Hotel:
    raised: int


@hotel.command(Hotel)
class RaiseAll:
    by: int
    at_most: int


@hotel.event(Hotel)
class Raised:
    by: int
    at_most: int


@hotel.decide
def raise_all(state: Hotel | None, command: RaiseAll) -> Any:
    yield Raised(command.by, command.at_most)


@hotel.evolve
def raised(state: Hotel | None, event: Raised) -> Hotel:
    return Hotel((state.raised if state else 0) + event.by)


def raise_prices(table: Any, event: Any) -> None:
    """Raise each price, to the next one that no other room has; moved rows are looked for in between."""
    for row in table.range("price"):
        assert row["times"] < 5, "it would never end"
        price = row["price"] + event.by
        while table.count("price", equal=price):
            price += 1
        if price > event.at_most:
            raise Rejected("too dear", code="hotel.dear")
        table.update(row["room"], price=price, times=row["times"] + 1)


prices = hotel.read_model("prices")
rooms = prices.table("rooms", key="room", indexes=["price"])
ready = hotel.read_model("ready", inline=True)
ready_rooms = ready.table("rooms", key="room", indexes=["price"])
ledger = hotel.read_model(
    "ledger",
    engine="sqlite",
    schema="CREATE TABLE rooms (room INTEGER PRIMARY KEY, price INTEGER, times INTEGER);"
    "CREATE INDEX by_price ON rooms (price);",
)


def add(tables: Any, table: Any, event: RoomAdded) -> None:
    tables[table].put({"room": event.room, "price": event.price, "times": 0})


@prices.on
def on_added(event: RoomAdded, tables: Any) -> None:
    add(tables, rooms, event)


@prices.on
def on_raised(event: AllRaised | Raised, tables: Any) -> None:
    raise_prices(tables[rooms], event)


@ready.on
def ready_added(event: RoomAdded, tables: Any) -> None:
    add(tables, ready_rooms, event)


@ready.on
def ready_raised(event: AllRaised | Raised, tables: Any) -> None:
    raise_prices(tables[ready_rooms], event)


@ledger.on
def ledger_added(event: RoomAdded, db: Any) -> None:
    db.execute("INSERT INTO rooms VALUES (?, ?, 0)", (event.room, event.price))


@ledger.on
def ledger_raised(event: AllRaised | Raised, db: Any) -> None:
    for room, price, times in db.execute("SELECT room, price, times FROM rooms WHERE price > 0"):
        assert times < 5, "it would never end"
        db.execute(
            "UPDATE rooms SET price = ?, times = ? WHERE room = ?", (price + event.by, times + 1, room)
        )


@hotel.query(reads=[prices])
class TimesRaised:
    def run(self, view: Any) -> list[int]:
        return sorted({row["times"] for row in view[rooms].all()})


@hotel.query(reads=[ready])
class TimesRaisedInline:
    def run(self, view: Any) -> list[int]:
        return sorted({row["times"] for row in view[ready_rooms].all()})


@hotel.query(reads=[ledger])
class TimesRaisedInLedger:
    def run(self, view: Any) -> list[int]:
        return [times for (times,) in view[ledger].execute("SELECT DISTINCT times FROM rooms")]
