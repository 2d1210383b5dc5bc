"""Given / when / then over the domain's own rules, with assertions. No store, and only the test's thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

from actors.domain.domain import Domain
from actors.domain.read_model import ReadModel
from actors.domain.specs import CompiledDomain
from actors.errors import Rejected, UnknownMessage
from actors.queries.encoded_query import opened, sealed
from actors.queries.result_typing import Query, Result
from actors.receipt import Receipt
from actors.testing._difference import compare
from actors.testing._history import MemoryHistory, flattened, require_time_zone
from actors.testing._projected import Projected
from actors.writer.submission_factory import SubmissionFactory
from storage import OnewriterError, RecordedEvent, TableSchema
from storage.value_text import short_repr

__all__ = ["Asked", "Given", "Outcome", "given"]

S = TypeVar("S")


def given(domain: Domain, *events: Any) -> Given:
    """What has happened before: events, in order, one by one or in lists; none for an empty store.

    The events may be of any streams; the domain's evolvers fold them. An event that could not have happened
    is refused with an error that says why. `happened(event, ...)` gives one its time, metadata or stream.
    `Stored(name, fields, version)` is what an older program stored: upcasters make the events of now of it.
    Raises `DomainError` for a mistake in the domain.
    """
    compiled = domain.compile()
    history = MemoryHistory(compiled)
    for event in flattened(events):
        history.add(event)
    return Given(compiled, history)


class Given:
    """What has happened, for a test to go on from. Made by `given`."""

    def __init__(self, domain: CompiledDomain, history: MemoryHistory) -> None:
        self._domain = domain
        self._history = history
        self._maker = SubmissionFactory(domain)

    @property
    def recorded(self) -> list[RecordedEvent]:
        """Everything that has happened, as in the log."""
        return list(self._history.own())

    # -- the write side -------------------------------------------------------------------------
    def when(
        self,
        command: Any,
        *,
        expected_version: int | None = None,
        command_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        time: datetime | None = None,
    ) -> Outcome:
        """Have a command checked, validated and decided; the `Outcome` says how it went.

        This `Given` does not change, so several commands may start from it; the `Outcome`'s assertions return
        the next one. `time` (aware) is the time of the decision and of its events, by default that of the
        call. Middleware does not run: it is part of the system, not of the decision.
        """
        require_time_zone(f"when({short_repr(command)})", time)
        history = self._history.copy()
        try:
            submission = self._maker.of_command(
                command, {"expected_version": expected_version, "command_id": command_id}, metadata
            )
            outcome = history.decide(submission, time)
        except OnewriterError as error:
            outcome = error
        return Outcome(Given(self._domain, history), command, outcome)

    def state(self, state: type[S], *fields: Any, **named: Any) -> S | None:
        """The state of the stream that `state`'s template names with these fields, or None."""
        stream = self._domain.states[state].stream_for(*fields, **named)
        found: S | None = self._history.state(stream, self._domain.states[state])
        return found

    # -- the read side --------------------------------------------------------------------------
    def view(self, *models: ReadModel) -> Projected:
        """The tables of these models, or of all, to be read as in a query; use it in a `with` block."""
        return Projected(self._domain, models or list(self._domain.models.values()), self._history.own())

    def then_rows(self, table: TableSchema, rows: Iterable[Mapping[str, Any]]) -> Given:
        """The table holds exactly these rows, given in any order."""
        with self.view(self._model_of(table)) as view:
            actual = list(view[table].all())
        expected = sorted((dict(row) for row in rows), key=table.key_of)
        # A row is a set of columns: the order in which a projection wrote them says nothing.
        compare(f"table {table.name!r} holds other rows", map(_ordered, expected), map(_ordered, actual))
        return self

    def query(self, query: Query[Result]) -> Result:
        """The answer of a query after what has happened; raises what its `run` raises."""
        spec = self._domain.queries.get(type(query))
        if spec is None:
            raise UnknownMessage(f"{type(query).__name__} is not a query of domain {self._domain.name!r}")
        spec.check(query)
        if spec.validate is not None:
            spec.validate(query)
        with Projected(self._domain, spec.models, self._history.own()) as view:
            codec = self._domain.codec
            result: Result = _listed(opened(sealed(query, spec, codec), spec, codec).run(view))
            return result

    def asked(self, query: Query[Any]) -> Asked:
        """As `query`, for an assertion: `given(...).asked(Cheapest(1)).answers([...])`."""
        return Asked(query, self.query(query))

    def _model_of(self, table: TableSchema) -> ReadModel:
        for model in self._domain.models.values():
            if any(table is one for one in model.tables):
                return model
        raise UnknownMessage(f"table {table.name!r} belongs to no read model of domain {self._domain.name!r}")


def _ordered(row: Mapping[str, Any]) -> dict[str, Any]:
    return {column: row[column] for column in sorted(row)}


class Outcome:
    """A command's outcome; each assertion returns the `Given` after it, for a further `when`.

    `receipt` is None if the command was refused, `error` if it was not.
    """

    def __init__(self, after: Given, command: Any, outcome: Receipt | Exception) -> None:
        self._after = after
        self._command = command
        self.receipt = outcome if isinstance(outcome, Receipt) else None
        self.error = outcome if isinstance(outcome, Exception) else None

    @property
    def events(self) -> list[Any]:
        """The events that the command gave; none if it was refused."""
        return [] if self.receipt is None else list(self.receipt.events)

    def then(self, *events: Any) -> Given:
        """It gave exactly these events, in this order."""
        if self.error is not None:
            raise AssertionError(
                f"{self._command!r} was expected to give events, and failed with {_in_words(self.error)}"
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
                f"{self._command!r} was expected to be rejected with {code!r}, and got {_in_words(error)}"
            ) from error
        found = {name: error.details[name] for name in details if name in error.details}
        compare(f"{self._command!r} was rejected with other details", [details], [found])
        return self._after

    def raised(self, kind: type[Exception], text: str = "") -> Given:
        """It failed with an error of this class, such as `InvalidMessage`, with `text` in its message."""
        error = self._refusal(kind, f"refused with {kind.__name__}")
        if text not in str(error):
            raise AssertionError(
                f"{self._command!r}: {text!r} is not in the text of {_in_words(error)}"
            ) from error
        return self._after

    def _refusal(self, kind: type[Exception], expected: str) -> Exception:
        if self.error is None:
            given = ", ".join(map(repr, self.events)) or "no event"
            raise AssertionError(f"{self._command!r} was expected to be {expected}, and gave {given}")
        if not isinstance(self.error, kind):
            raise AssertionError(
                f"{self._command!r} was expected to be {expected}, and failed with {_in_words(self.error)}"
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


def _listed(result: Any) -> Any:
    """A query's result as its caller gets it: an iterator is read to its end while the snapshot is open."""
    return list(result) if isinstance(result, Iterator) else result


def _in_words(error: Exception) -> str:
    if isinstance(error, Rejected):
        details = "".join(f", {name}={value!r}" for name, value in error.details.items())
        return f"Rejected({error.message!r}, code={error.code!r}{details})"
    return f"{type(error).__name__}: {error}"
