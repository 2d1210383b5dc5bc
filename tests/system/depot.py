"""The domain of the system tests: items in stock, orders that reserve several of them, counters, sensors.

Every kind of command is here that a crash could tear: one event, several streams at once, none, a rejection
after events were yielded already. `command_of` makes a command from a name alone, so that a test that reads
an acknowledgement knows what was sent.
"""

from __future__ import annotations

import random

from actors import Domain, Reader, Rejected

depot = Domain("depot")


@depot.value
class Line:
    sku: str
    amount: int


# -- write model --------------------------------------------------------------------------
@depot.state(stream="item-{sku}", snapshot_every=20)
class Item:
    sku: str
    stock: int


@depot.state(stream="order-{order}")
class Order:
    order: str
    lines: int


@depot.state(stream="counter-{name}")
class Counter:
    name: str
    total: int


@depot.event(Item, tags="sku-{sku}")
class Stocked:
    sku: str
    amount: int


@depot.event(Item, tags=["sku-{sku}", "of-{order}"])
class Reserved:
    sku: str
    order: str
    amount: int


@depot.event(Order, tags="of-{order}")
class OrderPlaced:
    order: str
    lines: tuple[Line, ...]


@depot.event(Counter)
class Incremented:
    name: str
    by: int


@depot.event(state=None)
class Measured:
    sensor: str
    value: int


@depot.command(Item)
class Stock:
    sku: str
    amount: int


@depot.command(Order)
class PlaceOrder:
    order: str
    lines: tuple[Line, ...]


@depot.command(Counter)
class Increment:
    name: str
    by: int = 1


@depot.command(Counter)
class Touch:
    """Gives no event."""

    name: str


@depot.decide
def stock(item: Item | None, command: Stock):
    if command.amount <= 0:
        raise Rejected("nothing to stock", code="stock.nothing")
    yield Stocked(command.sku, command.amount)


@depot.decide
def place_order(order: Order | None, command: PlaceOrder, read: Reader):
    if order is not None:
        raise Rejected(f"order {command.order} is placed already", code="order.exists")
    yield OrderPlaced(command.order, command.lines)
    needed: dict[str, int] = {}
    for line in command.lines:
        item = read(Item, line.sku)
        needed[line.sku] = needed.get(line.sku, 0) + line.amount
        if item is None or item.stock < needed[line.sku]:
            raise Rejected(f"too little of {line.sku}", code="stock.short")
        yield Reserved(line.sku, command.order, line.amount)


@depot.decide
def increment(counter: Counter | None, command: Increment):
    yield Incremented(command.name, command.by)


@depot.decide
def touch(counter: Counter | None, command: Touch):
    return None


@depot.evolve
def stocked(item: Item | None, event: Stocked) -> Item:
    return Item(event.sku, event.amount + (item.stock if item else 0))


@depot.evolve
def reserved(item: Item, event: Reserved) -> Item:
    return Item(item.sku, item.stock - event.amount)


@depot.evolve
def placed(order: None, event: OrderPlaced) -> Order:
    return Order(event.order, len(event.lines))


@depot.evolve
def incremented(counter: Counter | None, event: Incremented) -> Counter:
    return Counter(event.name, event.by + (counter.total if counter else 0))


# -- read models --------------------------------------------------------------------------
shelves = depot.read_model("shelves")
items = shelves.table("items", key="sku", indexes=["stock"])
orders = shelves.table("orders", key="order")

tally = depot.read_model("tally")
counters = tally.table("counters", key="name", indexes=["total"])

journal = depot.read_model("journal")
entries = journal.table("entries", key="position", indexes=[("stream", "version")])

MODELS = (shelves, tally, journal)


@shelves.on
def on_stocked(event: Stocked, tables):
    row = tables[items].get(event.sku)
    tables[items].put({"sku": event.sku, "stock": event.amount + (row["stock"] if row else 0)})


@shelves.on
def on_reserved(event: Reserved, tables):
    tables[items].update(event.sku, stock=tables[items].get(event.sku)["stock"] - event.amount)


@shelves.on
def on_placed(event: OrderPlaced, tables):
    tables[orders].put({"order": event.order, "lines": len(event.lines)})


@tally.on
def on_incremented(event: Incremented, tables):
    row = tables[counters].get(event.name)
    tables[counters].put({"name": event.name, "total": event.by + (row["total"] if row else 0)})


@journal.on
def on_anything(event: Stocked | Reserved | OrderPlaced | Incremented | Measured, tables, recorded):
    tables[entries].put(
        {"position": recorded.position, "stream": recorded.stream, "version": recorded.version}
    )


@depot.query(reads=[shelves])
class StockOf:
    sku: str

    def run(self, view):
        row = view[items].get(self.sku)
        return row["stock"] if row else None


@depot.query(reads=[tally])
class TotalOf:
    name: str

    def run(self, view):
        row = view[counters].get(self.name)
        return row["total"] if row else 0


@depot.query(reads=[tally])
class Totals:
    def run(self, view):
        return {row["name"]: row["total"] for row in view[counters].all()}


@depot.query(reads=[journal])
class EntryCount:
    def run(self, view):
        return view[entries].count()


# -- commands by name ---------------------------------------------------------------------
def command_of(name: str) -> object:
    """The command that goes by this name, always the same one."""
    dice = random.Random(name)
    kind = dice.random()
    if kind < 0.35:
        return Increment(f"c{dice.randrange(12)}", dice.randrange(1, 5))
    if kind < 0.45:
        return Increment(f"new-{name}")
    if kind < 0.70:
        return Stock(f"s{dice.randrange(8)}", dice.randrange(0, 12))
    if kind < 0.95:
        skus = dice.sample([f"s{number}" for number in range(8)], dice.randrange(2, 5))
        order = name if dice.random() < 0.9 else f"shared-{dice.randrange(3)}"
        return PlaceOrder(order, tuple(Line(sku, dice.randrange(1, 6)) for sku in skus))
    return Touch(f"c{dice.randrange(12)}")
