"""How all tenants are: what `Systems.health()` returns. Plain values; any thread."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from actors.health import Health

__all__ = ["SystemsHealth", "TenantHealth"]


@dataclass(frozen=True, slots=True)
class TenantHealth:
    """One tenant that is open, or that the last attempt to open failed for.

    - `state`: "opening", "open", "closing" or "closed"
    - `leases`: how many need it open now; `idle_seconds`: since its last use
    - `why_open`: why it would not be closed now; None if it may be
    - `health`: that of its system while it is open
    - `failure`: why it could not be opened, or was not closed well
    """

    name: str
    state: str
    leases: int = 0
    idle_seconds: float = 0.0
    why_open: str | None = None
    health: Health | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class SystemsHealth:
    """All tenants. `status` is "ok" if that of each is.

    - `open`: how many count against `max_open`
    - `waking`: how many closed tenants are to be opened for a timer
    - `problems`, `warnings`: those of all tenants, each sentence with the tenant's name before it
    """

    status: str
    folder: str
    open: int
    max_open: int
    waking: int
    tenants: tuple[TenantHealth, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The same as nested dicts and lists, for JSON."""
        return asdict(self)
