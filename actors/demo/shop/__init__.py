"""A shop: products, carts, orders that reserve stock, and the read models of its queries.

The write side is in `products`, `carts` and `orders` (state, commands, events, rules), the read side in
`models` (tables) and `queries`, with `search` in SQLite and `takings` in memory. Importing this package
registers all of them with `shop`.
"""

from __future__ import annotations

from actors.demo.shop.carts import AbandonCart, AddToCart, CheckOutCart, RemoveFromCart
from actors.demo.shop.domain import shop
from actors.demo.shop.orders import CancelOrder, OrderLine, OrderStatus, PlaceOrder
from actors.demo.shop.products import (
    DescribeProduct,
    DiscontinueProduct,
    DiscountProduct,
    ListProduct,
    RepriceProduct,
    RestockProduct,
)
from actors.demo.shop.queries import (
    BestSellingCategories,
    Cheapest,
    CustomerOrders,
    ProductDetails,
    ProductsByPrefix,
    ProductsInCategory,
    SalesByCategory,
    SearchProducts,
    StockAlerts,
)
from actors.demo.shop.search import FindProducts
from actors.demo.shop.takings import Takings

__all__ = [
    "AbandonCart",
    "AddToCart",
    "BestSellingCategories",
    "CancelOrder",
    "Cheapest",
    "CheckOutCart",
    "CustomerOrders",
    "DescribeProduct",
    "DiscontinueProduct",
    "DiscountProduct",
    "FindProducts",
    "ListProduct",
    "OrderLine",
    "OrderStatus",
    "PlaceOrder",
    "ProductDetails",
    "ProductsByPrefix",
    "ProductsInCategory",
    "RemoveFromCart",
    "RepriceProduct",
    "RestockProduct",
    "SalesByCategory",
    "SearchProducts",
    "StockAlerts",
    "Takings",
    "shop",
]
