"""The payment gateway, an external system: it may be called twice for one thing, and sees that by the key."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Gateway", "MemoryGateway", "current_gateway", "use_gateway"]


class Gateway(Protocol):
    """What the shop needs of a payment provider. A second call with a key does nothing. Outbox's thread."""

    def charge(self, key: str, order_id: str, amount: int) -> str | None:
        """Take the money; returns None, or why that is declined."""

    def refund(self, key: str, order_id: str, amount: int) -> None:
        """Give the money back."""


class MemoryGateway:
    """A provider for demonstrations: remembers in memory, and declines amounts above its limit."""

    def __init__(self, limit: int = 100_000) -> None:
        self.limit = limit
        self.charges: dict[str, tuple[str, int]] = {}
        self.refunds: dict[str, tuple[str, int]] = {}

    def charge(self, key: str, order_id: str, amount: int) -> str | None:
        if amount > self.limit:
            return f"more than {self.limit} cents"
        self.charges[key] = order_id, amount
        return None

    def refund(self, key: str, order_id: str, amount: int) -> None:
        self.refunds[key] = order_id, amount


_current: list[Gateway] = [MemoryGateway()]


def current_gateway() -> Gateway:
    """The one in use."""
    return _current[0]


def use_gateway(gateway: Gateway) -> None:
    """Use this one from now on."""
    _current[0] = gateway
