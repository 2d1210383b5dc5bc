"""The test kit: given what happened, when a command comes, then these events, rows or answers.

    from actors.testing import given

    def test_a_price_is_changed():
        given(shop, ProductListed("lamp", "Desk lamp", 1999)).when(ChangePrice("lamp", 1799)).then(
            PriceChanged("lamp", 1799)
        )

    def test_an_unknown_product_has_no_price():
        given(shop).when(ChangePrice("chair", 100)).rejected("product.unknown")

    def test_the_catalogue_shows_the_price():
        given(shop, ProductListed("lamp", "Desk lamp", 1999)).then_rows(products, [{"sku": "lamp", ...}])

    def test_a_declined_payment_cancels_the_order():
        placed = given_process_manager(fulfilment, OrderPlaced("1", 1999))
        placed.when(PaymentDeclined("1")).then(CancelOrder("1"))

    def test_the_shop_as_a_whole():
        with open_system(shop) as system:
            system.execute(ListProduct("lamp", "Desk lamp", 1999))
            assert system.query(Cheapest(1)) == [...]

`given` and `given_process_manager` run the domain's own rules as the writer and the replicas do, in the
test's thread and without a store; `open_system` runs everything. A failed assertion raises an
`AssertionError` that shows the difference.
"""

from __future__ import annotations

from actors.testing._given import Asked, Given, Outcome, given
from actors.testing._history import Happened, happened
from actors.testing._process_manager import ProcessManagerGiven, ProcessManagerOutcome, given_process_manager
from actors.testing._projected import Projected
from actors.testing._system import TestSystem, open_system

__all__ = [
    "Asked",
    "Given",
    "Happened",
    "Outcome",
    "ProcessManagerGiven",
    "ProcessManagerOutcome",
    "Projected",
    "TestSystem",
    "given",
    "given_process_manager",
    "happened",
    "open_system",
]
