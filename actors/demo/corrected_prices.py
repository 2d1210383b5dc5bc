"""A function for `onewriter correct --through`: products that were listed a cent too low. Pure."""

from __future__ import annotations

from dataclasses import replace

from actors import RecordedEvent
from actors.demo.shop.products import ProductListed

__all__ = ["a_cent_more"]


def a_cent_more(recorded: RecordedEvent) -> ProductListed | None:
    """The event as it should have been; None for one that stays as it is."""
    event = recorded.event
    return replace(event, price=event.price + 1) if isinstance(event, ProductListed) else None
