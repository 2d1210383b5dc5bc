"""Products: listed, described, repriced, restocked, discontinued. Prices are whole cents.

Pure rules; the writer runs them, one command after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

from actors import Rejected
from actors.demo.shop.domain import shop
from actors.demo.shop.limits import require_ids, require_name, require_price, require_quantity


@shop.state(stream="product-{sku}")
class Product:
    sku: str
    name: str
    category: str
    price: int
    stock: int = 0
    description: str = ""
    discontinued: bool = False


# -- events -------------------------------------------------------------------------------
@shop.event(Product)
class ProductListed:
    sku: str
    name: str
    category: str
    price: int


@shop.event(Product)
class ProductDescribed:
    sku: str
    name: str
    description: str


@shop.event(Product)
class ProductRepriced:
    sku: str
    price: int


@shop.event(Product)
class ProductRestocked:
    sku: str
    quantity: int


@shop.event(Product)
class ProductDiscontinued:
    sku: str


@shop.event(Product)
class StockReserved:
    sku: str
    order_id: str
    quantity: int


@shop.event(Product)
class StockReleased:
    sku: str
    order_id: str
    quantity: int


# -- commands -----------------------------------------------------------------------------
@shop.command(Product)
class ListProduct:
    sku: str
    name: str
    category: str
    price: int

    def validate(self) -> None:
        require_ids(sku=self.sku, category=self.category)
        require_name(self.name)
        require_price(self.price)


@shop.command(Product)
class DescribeProduct:
    sku: str
    name: str
    description: str = ""

    def validate(self) -> None:
        require_ids(sku=self.sku)
        require_name(self.name)


@shop.command(Product)
class RepriceProduct:
    sku: str
    price: int

    def validate(self) -> None:
        require_ids(sku=self.sku)
        require_price(self.price)


@shop.command(Product)
class DiscountProduct:
    """Lower the price by a percentage, such as Decimal("12.5"), rounded to the cent, never below one cent."""

    sku: str
    percent: Decimal

    def validate(self) -> None:
        require_ids(sku=self.sku)
        if not self.percent.is_finite() or not 0 < self.percent < 100:
            raise Rejected(
                f"a discount is more than 0 and less than 100 percent, not {self.percent}",
                code="discount.out_of_range",
                percent=self.percent,
            )


@shop.command(Product)
class RestockProduct:
    sku: str
    quantity: int

    def validate(self) -> None:
        require_ids(sku=self.sku)
        require_quantity(self.quantity)


@shop.command(Product)
class DiscontinueProduct:
    sku: str

    def validate(self) -> None:
        require_ids(sku=self.sku)


# -- decisions ----------------------------------------------------------------------------
def on_sale(product: Product | None, sku: str) -> Product:
    """The product if it is listed and still sold; Rejected as product.unknown or product.discontinued."""
    if product is None:
        raise Rejected(f"there is no product {sku}", code="product.unknown", sku=sku)
    if product.discontinued:
        raise Rejected(f"product {sku} is discontinued", code="product.discontinued", sku=sku)
    return product


@shop.decide
def list_product(product: Product | None, command: ListProduct) -> Iterator[ProductListed]:
    if product is not None:
        raise Rejected(f"product {command.sku} is listed already", code="product.exists", sku=command.sku)
    yield ProductListed(command.sku, command.name, command.category, command.price)


@shop.decide
def describe_product(product: Product | None, command: DescribeProduct) -> Iterator[ProductDescribed]:
    product = on_sale(product, command.sku)
    if (product.name, product.description) != (command.name, command.description):
        yield ProductDescribed(command.sku, command.name, command.description)


@shop.decide
def reprice_product(product: Product | None, command: RepriceProduct) -> Iterator[ProductRepriced]:
    if on_sale(product, command.sku).price != command.price:
        yield ProductRepriced(command.sku, command.price)


@shop.decide
def discount_product(product: Product | None, command: DiscountProduct) -> Iterator[ProductRepriced]:
    old = on_sale(product, command.sku).price
    new = max(1, int((old * (1 - command.percent / 100)).quantize(Decimal(1), ROUND_HALF_UP)))
    if new != old:
        yield ProductRepriced(command.sku, new)


@shop.decide
def restock_product(product: Product | None, command: RestockProduct) -> Iterator[ProductRestocked]:
    on_sale(product, command.sku)
    yield ProductRestocked(command.sku, command.quantity)


@shop.decide
def discontinue_product(
    product: Product | None, command: DiscontinueProduct
) -> Iterator[ProductDiscontinued]:
    on_sale(product, command.sku)
    yield ProductDiscontinued(command.sku)


# -- state --------------------------------------------------------------------------------
@shop.evolve
def listed(product: None, event: ProductListed) -> Product:
    return Product(event.sku, event.name, event.category, event.price)


@shop.evolve
def described(product: Product, event: ProductDescribed) -> Product:
    return replace(product, name=event.name, description=event.description)


@shop.evolve
def repriced(product: Product, event: ProductRepriced) -> Product:
    return replace(product, price=event.price)


@shop.evolve
def added_to_stock(product: Product, event: ProductRestocked | StockReleased) -> Product:
    return replace(product, stock=product.stock + event.quantity)


@shop.evolve
def reserved(product: Product, event: StockReserved) -> Product:
    return replace(product, stock=product.stock - event.quantity)


@shop.evolve
def discontinued(product: Product, event: ProductDiscontinued) -> Product:
    return replace(product, discontinued=True)
