"""What the shop has taken in all: a handful of sums that everybody asks for, kept as an object in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actors import View
from actors.demo.shop.domain import shop
from actors.demo.shop.orders import OrderCancelled, OrderPlaced
from storage import ObjectSchema

takings = shop.read_model("takings", version=1, engine="memory")
sums = takings.object("sums", lambda: {"orders": 0, "cancelled": 0, "items": 0, "revenue": 0})


@takings.on
def take(event: OrderPlaced, objects: Mapping[ObjectSchema, dict[str, int]]) -> None:
    add(objects[sums], event, 1)


@takings.on
def give_back(event: OrderCancelled, objects: Mapping[ObjectSchema, dict[str, int]]) -> None:
    objects[sums]["cancelled"] += 1
    add(objects[sums], event, -1)


def add(total: dict[str, int], event: OrderPlaced | OrderCancelled, sign: int) -> None:
    total["orders"] += sign
    for line in event.lines:
        total["items"] += sign * line.quantity
        total["revenue"] += sign * line.quantity * line.price


@shop.query(reads=[takings])
class Takings:
    """Orders that stand, orders cancelled, items sold and revenue in cents, of all time."""

    def run(self, view: View) -> dict[str, Any]:
        return dict(view[sums])
