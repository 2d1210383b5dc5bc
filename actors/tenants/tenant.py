"""One tenant whose store is open, is being opened or is being closed. `TenantPool` guards it by its lock."""

from __future__ import annotations

import time
from enum import Enum

from actors.runtime.activity import use_count
from actors.system.system import System

__all__ = ["State", "Tenant"]


class State(Enum):
    """What becomes of the store."""

    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"


class Tenant:
    """`leases` count those who need it open; `used` is the monotonic time of the last use."""

    __slots__ = ("_count", "error", "leases", "name", "state", "system", "used")

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = State.OPENING
        self.system: System | None = None
        self.error: Exception | None = None
        """Why it could not be opened."""
        self.leases = 0
        self.used = time.monotonic()
        self._count = 0

    def opened(self, system: System) -> None:
        """Its store is open."""
        self.system = system
        self.state = State.OPEN
        self.used = time.monotonic()

    @property
    def usable(self) -> bool:
        """Whether it is open and nobody closed its system otherwise."""
        system = self.system
        return self.state is State.OPEN and system is not None and system._availability.refusal is None

    def look(self) -> None:
        """Note whether it was used since the last call, also by those who have its system without a lease."""
        if self.system is not None:
            count = use_count(self.system._parts)
            if count != self._count:
                self._count = count
                self.used = time.monotonic()
