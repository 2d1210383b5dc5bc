"""What came of a command or a query in a test, and the claims that a test makes about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from actors.errors import Rejected
from actors.receipt import Receipt
from actors.testing._difference import compare
from actors.testing._history import flattened

if TYPE_CHECKING:
    from actors.testing._given import Given

__all__ = ["Asked", "Outcome"]


class Outcome:
    """A command's outcome; each claim returns the `Given` that it leaves, for a further `when`.

    `receipt` is None when it was refused, `error` when it was not.
    """

    def __init__(self, after: Given, command: Any, outcome: Receipt | Exception) -> None:
        self._after = after
        self._command = command
        self.receipt = outcome if isinstance(outcome, Receipt) else None
        self.error = outcome if isinstance(outcome, Exception) else None

    @property
    def events(self) -> list[Any]:
        """The events that the command gave; none when it was refused."""
        return [] if self.receipt is None else list(self.receipt.events)

    def then(self, *events: Any) -> Given:
        """It gave exactly these events, in this order."""
        if self.error is not None:
            raise AssertionError(
                f"{self._command!r} was expected to give events, and failed with {_told(self.error)}"
            ) from self.error
        compare(f"{self._command!r} gave other events", flattened(events), self.events)
        return self._after

    def then_nothing(self) -> Given:
        """It was accepted and gave no event."""
        return self.then()

    def rejected(self, code: str | None = None, **details: Any) -> Given:
        """The domain refused it, with this code and, among its details, these."""
        error = self._refusal(Rejected, "rejected" if code is None else f"rejected with {code!r}")
        assert isinstance(error, Rejected)
        if code is not None and error.code != code:
            raise AssertionError(
                f"{self._command!r} was expected to be rejected with {code!r}, and got {_told(error)}"
            ) from error
        found = {name: error.details[name] for name in details if name in error.details}
        compare(f"{self._command!r} was rejected with other details", [details], [found])
        return self._after

    def raised(self, kind: type[Exception], text: str = "") -> Given:
        """It failed with an error of this class that has `text` in it: `ConcurrencyConflict`, `InvalidMessage`..."""
        error = self._refusal(kind, f"refused with {kind.__name__}")
        if text not in str(error):
            raise AssertionError(
                f"{self._command!r}: {text!r} is not in the text of {_told(error)}"
            ) from error
        return self._after

    def _refusal(self, kind: type[Exception], expected: str) -> Exception:
        if self.error is None:
            given = ", ".join(map(repr, self.events)) or "no event"
            raise AssertionError(f"{self._command!r} was expected to be {expected}, and gave {given}")
        if not isinstance(self.error, kind):
            raise AssertionError(
                f"{self._command!r} was expected to be {expected}, and failed with {_told(self.error)}"
            ) from self.error
        return self.error


class Asked:
    """A query's result."""

    def __init__(self, query: Any, result: Any) -> None:
        self._query = query
        self.result = result

    def answers(self, expected: Any) -> None:
        """It is this; a list or tuple is compared item by item."""
        result = self.result
        if isinstance(expected, list | tuple) and type(result) is type(expected):
            compare(f"{self._query!r} answers otherwise", expected, result)
        else:
            compare(f"{self._query!r} answers otherwise", [expected], [result])


def listed(result: Any) -> Any:
    """A query's result as its caller gets it: a lazy one is read to its end while the snapshot is there."""
    return list(result) if isinstance(result, Iterator) else result


def _told(error: Exception) -> str:
    if isinstance(error, Rejected):
        details = "".join(f", {name}={value!r}" for name, value in error.details.items())
        return f"Rejected({error.message!r}, code={error.code!r}{details})"
    return f"{type(error).__name__}: {error}"
