"""One domain in three releases, as a program grows: the second and third read what the ones before wrote.

Every kind of change is in it. Between 1 and 2: a field renamed (title to name), a field converted (a price in
cents to `Money`), an event renamed (PriceSet to PriceChanged), members of an enum renamed. Between 2 and 3: a
value's field renamed, a field added (shelf), a value taken apart (a chain of three in PriceChanged), an event
split by what it says (Moved), one dropped (Touched), one that became another (Blamed to Noted).
"""

from __future__ import annotations

from enum import Enum
from types import SimpleNamespace
from typing import Any

from actors import Domain, Rejected, Stored

Operation = tuple[str, str, int]
"""What is done to an item: the kind, the sku, and a number."""

KINDS = ("add", "price", "move", "touch", "blame")


def _first() -> SimpleNamespace:
    domain = first_domain
    made = SimpleNamespace(domain=domain)

    @domain.enum
    class Size(Enum):
        S = "s"
        L = "l"

    @domain.state(stream="item-{sku}", snapshot_every=3)
    class Item:
        sku: str
        count: int

    @domain.event(Item)
    class Added:
        sku: str
        title: str
        price: int
        size: Size

    @domain.event(Item, tags="priced")
    class PriceSet:
        sku: str
        price: int

    made.PriceSet = PriceSet
    _shared(made, Item, Added, PriceSet)
    _old_events(made, Item)
    made.events_of = lambda sku, kind, number: {
        "add": lambda: Added(sku, f"title {number}", number, Size.S if number % 2 else Size.L),
        "price": lambda: PriceSet(sku, number),
        "move": lambda: made.Moved(sku, number),
        "touch": lambda: made.Touched(sku),
        "blame": lambda: made.Blamed(sku, f"who {number}"),
    }[kind]()
    _command(made, Item)
    return made


def _second() -> SimpleNamespace:
    domain = second_domain
    made = SimpleNamespace(domain=domain)

    @domain.enum
    class Size(Enum):
        SMALL = "s"
        LARGE = "l"

    @domain.value
    class Money:
        amount: int
        currency: str

    @domain.state(stream="item-{sku}", snapshot_every=3)
    class Item:
        sku: str
        count: int

    @domain.event(Item)
    class Added:
        sku: str
        name: str
        price: Money
        size: Size

    @domain.event(Item, formerly="PriceSet", tags="priced")
    class PriceChanged:
        sku: str
        price: Money

    @domain.upcast("Size")
    def longer(member: str) -> str:
        return {"S": "SMALL", "L": "LARGE"}[member]

    @domain.upcast(Added)
    def with_money(fields: dict[str, Any]) -> dict[str, Any]:
        fields["name"] = fields.pop("title")
        return fields | {"price": Money(fields["price"], "EUR")}

    @domain.upcast("PriceSet", 1)
    def price_with_money(fields: dict[str, Any]) -> dict[str, Any]:
        return fields | {"price": Money(fields["price"], "EUR")}

    _shared(made, Item, Added, PriceChanged)
    _old_events(made, Item)
    made.events_of = lambda sku, kind, number: {
        "add": lambda: Added(sku, f"title {number}", Money(number, "USD"), Size.SMALL),
        "price": lambda: PriceChanged(sku, Money(number, "USD")),
        "move": lambda: made.Moved(sku, number),
        "touch": lambda: made.Touched(sku),
        "blame": lambda: made.Blamed(sku, f"who {number}"),
    }[kind]()
    _command(made, Item)
    return made


def _third() -> SimpleNamespace:
    domain = third_domain
    made = SimpleNamespace(domain=domain)

    @domain.enum
    class Size(Enum):
        SMALL = "s"
        LARGE = "l"

    @domain.value
    class Money:
        minor: int
        currency: str

    @domain.state(stream="item-{sku}", snapshot_every=3)
    class Item:
        sku: str
        count: int

    @domain.event(Item)
    class Added:
        sku: str
        name: str
        price: Money
        size: Size
        shelf: str

    @domain.event(Item, formerly="PriceSet", tags="priced")
    class PriceChanged:
        sku: str
        minor: int
        currency: str
        reason: str

    @domain.event(Item)
    class Received:
        sku: str
        count: int

    @domain.event(Item)
    class Sold:
        sku: str
        count: int

    @domain.event(Item, state=None)
    class Counted:
        sku: str
        what: str

    @domain.event(Item, state=None)
    class Noted:
        sku: str
        text: str

    @domain.upcast("Size")
    def longer(member: str) -> str:
        return {"S": "SMALL", "L": "LARGE"}[member]

    @domain.upcast("Money")
    def in_minor_units(fields: dict[str, Any]) -> dict[str, Any]:
        return {"minor": fields["amount"], "currency": fields["currency"]}

    @domain.upcast("Added", 1)
    def with_money(fields: dict[str, Any]) -> dict[str, Any]:
        fields["name"] = fields.pop("title")
        return fields | {"price": Money(fields["price"], "EUR")}

    @domain.upcast("Added", 2)
    def with_shelf(fields: dict[str, Any]) -> dict[str, Any]:
        return fields | {"shelf": fields["sku"][:1]}

    @domain.upcast("PriceChanged", 1)
    def price_with_money(fields: dict[str, Any]) -> dict[str, Any]:
        return fields | {"price": Money(fields["price"], "EUR")}

    @domain.upcast("PriceChanged", 2)
    def price_taken_apart(fields: dict[str, Any]) -> dict[str, Any]:
        price = fields.pop("price")
        return fields | {"minor": price.minor, "currency": price.currency}

    @domain.upcast("PriceChanged", 3)
    def with_reason(fields: dict[str, Any]) -> dict[str, Any]:
        return fields | {"reason": "unknown"}

    @domain.upcast("Moved", gone=True)
    def by_direction(fields: dict[str, Any]) -> list[Stored]:
        sku, count = fields["sku"], fields["count"]
        if not count:
            return []
        name = "Received" if count > 0 else "Sold"
        moved = Stored(name, {"sku": sku, "count": abs(count)})
        return [moved, Stored("Counted", {"sku": sku, "what": name})]

    @domain.upcast("Touched", gone=True)
    def forgotten(_fields: dict[str, Any]) -> list[Stored]:
        return []

    @domain.upcast("Blamed", gone=True)
    def kinder(fields: dict[str, Any]) -> Stored:
        return Stored("Noted", {"sku": fields["sku"], "text": f"by {fields['who']}"})

    made.PriceChanged = PriceChanged
    _shared(made, Item, Added, PriceChanged)

    @domain.evolve(Received)
    def received(item: Item | None, event: Received) -> Item:
        return Item(event.sku, (item.count if item else 0) + event.count)

    @domain.evolve(Sold)
    def sold(item: Item | None, event: Sold) -> Item:
        return Item(event.sku, (item.count if item else 0) - event.count)

    def moves(sku: str, count: int) -> list[Any]:
        if not count:
            return []
        cls = Received if count > 0 else Sold
        return [cls(sku, abs(count)), Counted(sku, cls.__name__)]

    made.events_of = lambda sku, kind, number: {
        "add": lambda: Added(sku, f"title {number}", Money(number, "GBP"), Size.LARGE, "B"),
        "price": lambda: PriceChanged(sku, number, "GBP", "sale"),
        "move": lambda: moves(sku, number),
        "touch": list,
        "blame": lambda: Noted(sku, f"by who {number}"),
    }[kind]()
    _command(made, Item)
    _models(made)
    return made


def _shared(made: SimpleNamespace, item: Any, *with_no_count: Any) -> None:
    domain = made.domain

    @domain.evolve(*with_no_count, state=item | None)
    def unchanged(state: Any, event: Any) -> Any:
        return state or item(event.sku, 0)


def _old_events(made: SimpleNamespace, item: Any) -> None:
    domain = made.domain

    @domain.event(item)
    class Moved:
        sku: str
        count: int

    @domain.event(item, state=None)
    class Touched:
        sku: str

    @domain.event(item, state=None)
    class Blamed:
        sku: str
        who: str

    @domain.evolve(Moved)
    def moved(state: item | None, event: Moved) -> item:
        return item(event.sku, (state.count if state else 0) + event.count)

    made.Moved, made.Touched, made.Blamed = Moved, Touched, Blamed


def _command(made: SimpleNamespace, item: Any) -> None:
    domain = made.domain

    @domain.command(item)
    class Change:
        sku: str
        kind: str
        number: int

    @domain.command(item)
    class Expect:
        """Rejected with the state that the decider has."""

        sku: str

    @domain.decide(Change, state=item | None)
    def change(_state: Any, command: Any) -> Any:
        made_of = made.events_of(command.sku, command.kind, command.number)
        return made_of if isinstance(made_of, list) else [made_of]

    @domain.decide(Expect, state=item | None)
    def expect(state: Any, _command: Any, read: Any) -> Any:
        prices = [getattr(one, "minor", None) for one in read.tagged("priced")]
        raise Rejected("as asked", count=None if state is None else state.count, prices=prices)

    made.Change, made.Expect, made.Item = Change, Expect, item


def _models(made: SimpleNamespace) -> None:
    domain = made.domain
    made.queries = []
    for name, inline in (("seen", False), ("inside", True)):
        model = domain.read_model(name, inline=inline)
        _fill(model, [one.cls for one in domain.declarations.classes if one.kind == "event"])
        setattr(made, name, model)
        made.queries.append(_query(domain, name, model))


def _fill(model: Any, events: list[type]) -> None:
    table = model.table("events", key=("position", "part"))

    @model.on(*events)
    def row(event: Any, tables: Any, recorded: Any) -> None:
        part = 0
        while tables[table].get((recorded.position, part)) is not None:
            part += 1
        tables[table].put(
            {"position": recorded.position, "part": part, "text": text_of(event), "type": recorded.type}
        )


def _query(domain: Any, name: str, model: Any) -> Any:
    (table,) = model.tables

    @domain.query(reads=model, name=f"all {name}")
    class All:
        def run(self, view: Any) -> Any:
            return [(row["position"], row["text"]) for row in view[table].all()]

    return All


def text_of(event: Any) -> str:
    """An event as text in which equal ones are equal."""
    values = ", ".join(f"{name}={getattr(event, name)}" for name in type(event).__dataclass_fields__)
    return f"{type(event).__name__}({values.replace(type(event).__qualname__, '')})"


first_domain, second_domain, third_domain = (Domain("stock") for _ in range(3))
first, second, third = _first(), _second(), _third()
RELEASES = (first, second, third)
