"""What every method of `System` begins with: is it open, and are the options such as it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actors.domain.call_options import checked

if TYPE_CHECKING:
    from actors.runtime.runtime import Runtime

__all__ = ["SystemBase", "checked_options"]


class SystemBase:
    """A running system, or the reason why it can't be used."""

    _runtime: Runtime
    _refusal: Callable[[], Exception] | None

    def _running(self) -> Runtime:
        if self._refusal is not None:
            raise self._refusal()
        return self._runtime


def checked_options(options: Any, kind: type, method: str) -> dict[str, Any]:
    """The options as a dict; raises as `checked` does for one that `method` does not have."""
    if options:
        checked(options, kind, method)
    return options  # type: ignore[no-any-return]
