"""Orders that end, and stock that never does, with what reads their events. Worker processes import it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from actors import Do, Domain, System

warehouse = Domain("warehouse")


@warehouse.state(stream="order-{order}")
class Order:
    order: str
    items: int


@warehouse.state(stream="stock-{sku}", snapshot_every=4)
class Stock:
    sku: str
    taken: int


@warehouse.event(Order, tags=["sku-{sku}"])
class Ordered:
    order: str
    sku: str


@warehouse.event(Stock)
class Taken:
    sku: str


@warehouse.event(Stock, state=None)
class Counted:
    sku: str
    count: int


@warehouse.command(Stock)
class CountTaken:
    sku: str


@warehouse.command(Order)
class PlaceOrder:
    order: str
    sku: str


@warehouse.command(Order)
class CountItems:
    order: str


@warehouse.command(Stock)
class Take:
    sku: str


@warehouse.decide
def place_order(_order: Order | None, command: PlaceOrder) -> Any:
    yield Ordered(command.order, command.sku)


@warehouse.decide
def count_items(order: Order, command: CountItems) -> Any:
    yield Ordered(command.order, f"{order.items} before")


@warehouse.decide
def count_taken(stock: Stock, command: CountTaken) -> Any:
    yield Counted(command.sku, stock.taken)


@warehouse.decide
def take(_stock: Stock | None, command: Take) -> Any:
    yield Taken(command.sku)


@warehouse.evolve
def ordered(order: Order | None, event: Ordered) -> Order:
    return Order(event.order, 1) if order is None else replace(order, items=order.items + 1)


@warehouse.evolve
def taken(stock: Stock | None, event: Taken) -> Stock:
    return Stock(event.sku, 1) if stock is None else replace(stock, taken=stock.taken + 1)


sales = warehouse.read_model("sales")
sold = sales.table("sold", key="sku")


@sales.on
def on_ordered(event: Ordered, tables: Any) -> None:
    row = tables[sold].get(event.sku) or {"count": 0}
    tables[sold].put({"sku": event.sku, "count": row["count"] + 1})


shelves = warehouse.read_model("shelves")
taken_from = shelves.table("taken_from", key="sku")


@shelves.on
def on_taken(event: Taken, tables: Any) -> None:
    row = tables[taken_from].get(event.sku) or {"count": 0}
    tables[taken_from].put({"sku": event.sku, "count": row["count"] + 1})


@warehouse.query(reads=[sales])
class Sold:
    sku: str

    def run(self, view: Any) -> int:
        row = view[sold].get(self.sku)
        return 0 if row is None else row["count"]


taking = warehouse.process_manager("taking", key="order", start="beginning")


@taking.state
class Taking:
    order: str
    count: int = 0


@taking.on
def take_what_was_ordered(state: Taking | None, event: Ordered, do: Do) -> Taking:
    return Taking(event.order, 1 if state is None else state.count + 1)


def fill(system: System, orders: int = 6, items: int = 3) -> None:
    """So many orders of so many items each, beside each other, and nine times something of two shelves."""
    system.execute_many([PlaceOrder(f"o{one}", f"s{item}") for item in range(items) for one in range(orders)])
    system.execute_many([Take(f"s{number % 2}") for number in range(18)])
    system.wait_applied()


def rows(system: System) -> list[Any]:
    """All rows of all models, of each replica."""
    return [[system.dump(replica, model) for model in (sales, shelves)] for replica in system.replica_names]


def read_back(system: System) -> Any:
    """What can be read of the store, in every way."""
    return (
        [system.stream(name) for name, _ in system.streams()],
        system.tagged("sku-s1"),
        [one.event for one in system.subscribe(until=system.position)],
        rows(system),
        system.process_manager_states("taking"),
        [(one.name, one.position) for one in system.consumers()],
        system.position,
    )
