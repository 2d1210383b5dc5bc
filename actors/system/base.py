"""What every part of `System` has: the running system, and whether it can be used."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from actors.domain.access import Access, AccessKind
from actors.domain.call_options import checked

if TYPE_CHECKING:
    from actors.queries.query_client import QueryClient
    from actors.runtime.parts import Parts
    from actors.runtime.runtime import Runtime

__all__ = ["Availability", "SystemBase", "checked_options"]


class Availability:
    """Whether a system can be used; what it gave out shares it. `refusal` makes the error if it can't."""

    __slots__ = ("refusal",)

    def __init__(self) -> None:
        self.refusal: Callable[[], Exception] | None = None

    def require(self) -> None:
        """Raise the refusal, if there is one."""
        if self.refusal is not None:
            raise self.refusal()


class SystemBase:
    """A running system, and through what it is asked."""

    _runtime: Runtime
    _parts: Parts
    _availability: Availability
    _queries: QueryClient

    def _guarded(
        self,
        kind: AccessKind,
        names: tuple[str, ...] = (),
        types: Collection[str] = (),
        stream: str | None = None,
    ) -> Parts:
        """As `_running`, once the domain's guards allow this use; `types` are names of events.

        Raises what they raise.
        """
        parts = self._running()
        if parts.domain.guards:
            classes = [cls for cls, spec in parts.domain.events.items() if spec.name in types]
            parts.domain.guards.check(Access(kind, None, tuple(classes), names, stream))
        return parts

    def _running(self) -> Parts:
        """What the system is made of. Raises once it can't be used any more."""
        refusal = self._availability.refusal
        if refusal is not None:
            raise refusal()
        return self._parts


def checked_options(options: Any, kind: type, method: str) -> dict[str, Any]:
    """The options as a dict; raises as `checked` does for one that `method` does not have."""
    if options:
        checked(options, kind, method)
    return options  # type: ignore[no-any-return]
