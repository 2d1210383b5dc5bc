"""How the consumers of a name deliver: how often, how long, how many at a time. Any thread."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DeliveryPolicy"]


class DeliveryPolicy(NamedTuple):
    """How a group delivers, from `System.consumer`."""

    max_deliveries: int = 5
    ack_timeout: float = 30.0
    in_flight: int = 200

    def __str__(self) -> str:
        """As it is written in a call."""
        return (
            f"max_deliveries={self.max_deliveries}, ack_timeout={self.ack_timeout:g}, "
            f"in_flight={self.in_flight}"
        )
