"""The skips of inputs that operators asked for, until they are on disk. The manager's thread."""

from __future__ import annotations

from actors.errors import ConsistencyTimeout
from actors.process_managers.messages import SkipInput

__all__ = ["PendingSkips"]


class PendingSkips:
    """Of one incarnation of a manager, by input; several callers may ask for the same."""

    def __init__(self) -> None:
        self._requests: dict[str, list[SkipInput]] = {}

    def add(self, id: str, request: SkipInput) -> None:
        """One to be answered once the input is passed over."""
        self._requests.setdefault(id, []).append(request)

    def reasons(self) -> list[tuple[str, str]]:
        """The inputs to pass over, and the last reason given."""
        return [(id, requests[-1].reason) for id, requests in self._requests.items()]

    def done(self, id: str) -> None:
        """That is on disk."""
        for request in self._requests.pop(id, ()):
            request.done(id)

    def end(self, name: str) -> None:
        """The actor of this manager ends: fail the requests that wait."""
        error = ConsistencyTimeout(
            f"process manager {name!r} ended before the skip was known to be written; look at "
            "process_managers() whether it is still stopped there"
        )
        for requests in self._requests.values():
            for request in requests:
                request.fail(error)
        self._requests.clear()
