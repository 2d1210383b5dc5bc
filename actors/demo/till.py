"""A shop's till as a small domain, with a mistake in it and without: to try `onewriter skip` on.

`faulty` has a projection that a sale for nothing stops; `fixed` has it right.
"""

from __future__ import annotations

from actors import Domain, Tables

__all__ = ["faulty", "fixed"]


def till(average: bool) -> Domain:
    """The domain; with `average`, its projection divides by the price."""
    domain = Domain("till")

    @domain.state(stream="receipt-{number}")
    class Receipt:
        number: int

    @domain.event(Receipt, state=None)
    class Sold:
        number: int
        price: int

    @domain.command(Receipt)
    class Sell:
        number: int
        price: int

    @domain.decide(Sell)
    def sell(receipt: Receipt | None, command: Sell) -> Sold:
        return Sold(command.number, command.price)

    takings = domain.read_model("takings")
    sums = takings.table("sums", key="name")

    @takings.on(Sold)
    def sold(event: Sold, tables: Tables) -> None:
        before = tables[sums].get("all") or {"sum": 0, "an_item_for": 0}
        shares = 1 / event.price if average else 0
        tables[sums].put({"name": "all", "sum": before["sum"] + event.price, "an_item_for": shares})

    return domain


faulty, fixed = till(average=True), till(average=False)
