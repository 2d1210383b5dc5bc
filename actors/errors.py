"""Every error that the running system raises to a caller; all of them are ``OnewriterError``.

Errors are values: they are made on the writer's, a replica's or a query actor's thread and raised on the
caller's, so they hold text and small values only, and survive a copy and pickle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from storage.errors import OnewriterError, SnapshotClosed, lacks_code
from storage.value_text import short_repr


class ActorsError(OnewriterError):
    """What the running system raises; errors of the files themselves are ``StorageError``."""


def described(error: BaseException) -> str:
    """The class and the message of an error raised by user code, even if its `__str__` fails."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return f"{type(error).__name__} (its message could not be rendered)"


def advice_on(error: str) -> str:
    """What else to do about a model that stopped with this error, as the end of a sentence."""
    if lacks_code(error):
        return ", otherwise open the system again with code that reads the event"
    if "restore a backup" in error:
        return ""  # no code reads it, and skipping it does not help: what is lost may be more than one event
    return ", otherwise fix the projection and open the system again, or skip the event"


# -- the definition -------------------------------------------------------------------------
class DomainError(ActorsError):
    """A domain is defined wrongly. ``problems`` lists every mistake found, each with its location."""

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (str(self), self.problems))


# -- one message ----------------------------------------------------------------------------
class InvalidMessage(ActorsError):
    """A message's fields do not fit its declaration. ``message`` and ``field`` say which one."""

    def __init__(
        self, text: str, *, message: str = "", field: str = "", expected: str = "", got: str = ""
    ) -> None:
        self.message = message
        self.field = field
        self.expected = expected
        self.got = got
        super().__init__(text)

    @classmethod
    def of(cls, message: str, field: str, expected: str, got: str) -> InvalidMessage:
        """``ListProduct.price must be int, got str 'abc'``."""
        return cls(
            f"{message}.{field} must be {expected}, got {got}",
            message=message,
            field=field,
            expected=expected,
            got=got,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return (_invalid_message, (str(self), self.message, self.field, self.expected, self.got))


def _invalid_message(text: str, message: str, field: str, expected: str, got: str) -> InvalidMessage:
    return InvalidMessage(text, message=message, field=field, expected=expected, got=got)


class UnknownMessage(ActorsError):
    """The message's class is not a command (or query, or event) of this system's domain."""


class Rejected(ActorsError):
    """A command that the domain refuses. Raised by deciders, ``validate`` and middleware.

    ``code`` is for programs and stays the same when the text is reworded; ``details`` are keyword values
    for the program that shows the refusal.
    """

    def __init__(self, message: str = "", code: str = "rejected", **details: Any) -> None:
        self.message = message
        self.code = code
        self.details = details
        super().__init__(message or code)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rejected, (type(self), self.message, self.code, self.details))


def _rejected(cls: type[Rejected], message: str, code: str, details: dict[str, Any]) -> Rejected:
    error = cls.__new__(cls)
    Rejected.__init__(error, message, code, **details)
    return error


class StreamClosed(Rejected):
    """The command, or the facts, would add to a stream that an operator has closed; nothing was written.

    ``code`` is "stream_closed"; ``details`` has the ``stream``, ``who`` closed it and ``why``, and the
    ``time``.
    """

    def __init__(self, stream: str, who: str, why: str, time: datetime) -> None:
        super().__init__(
            f"stream {stream!r} was closed on {time:%Y-%m-%d at %H:%M:%S} UTC by {who} ({why}), so it takes "
            "no events; nothing was written; if it is to go on, open it again with reopen_streams(), or "
            "`onewriter reopen`",
            "stream_closed",
            stream=stream,
            who=who,
            why=why,
            time=time,
        )


class Forbidden(ActorsError):
    """The caller may not do this; nothing was done. Raised by guards.

    ``code`` is for programs, and ``details`` are keyword values, as those of `Rejected`.
    """

    def __init__(self, message: str = "", code: str = "forbidden", **details: Any) -> None:
        self.message = message
        self.code = code
        self.details = details
        super().__init__(message or code)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_forbidden, (type(self), self.message, self.code, self.details))


def _forbidden(cls: type[Forbidden], message: str, code: str, details: dict[str, Any]) -> Forbidden:
    error = cls.__new__(cls)
    Forbidden.__init__(error, message, code, **details)
    return error


class GuardFailed(ActorsError):
    """A guard returned something in place of raising or returning nothing, so the call is refused."""


# -- the write side -------------------------------------------------------------------------
class ConcurrencyConflict(ActorsError):
    """The command's stream is not at the version that the caller expected; nothing was written.

    A function given as ``on_conflict=`` also finds the ``command`` and the ``events`` after ``expected``.
    """

    command: Any = None
    events: Sequence[Any] = ()

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        self.stream = stream
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"stream {stream!r} is at version {actual}, expected {short_repr(expected)}; read it again and "
            "decide again"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.stream, self.expected, self.actual))


class CommandIdReused(ActorsError):
    """The command id was used before with another payload; nothing was written."""

    def __init__(self, command_id: str) -> None:
        self.command_id = command_id
        super().__init__(
            f"command id {command_id!r} was used before for a command with another payload; use a new id"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.command_id,))


class Overloaded(ActorsError):
    """A bounded mailbox stayed full for as long as the caller would wait; nothing was done."""


class TenantsBusy(Overloaded):
    """A tenant can't be opened since too many are open and in use, or can't be dropped since it is in use.

    That stayed so for as long as the caller would wait; nothing was done.
    """


class DeadlineExceeded(ActorsError):
    """The message's deadline passed before its turn came; it was not executed."""


class _OutcomeUnknown(ActorsError):
    def __init__(self, command_id: str, text: str = "") -> None:
        self.command_id = command_id
        super().__init__(text or self._text(command_id))

    def _text(self, command_id: str) -> str:
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.command_id, str(self)))


class CommandTimeout(_OutcomeUnknown):
    """No reply in time. The outcome is unknown: execute again with ``command_id`` to find out."""

    def _text(self, command_id: str) -> str:
        return (
            f"no reply in time to command {command_id!r}; it may or may not be on disk: "
            "execute it again with this command_id to find out"
        )


class CommitUncertain(_OutcomeUnknown):
    """The commit failed half-way. The outcome is unknown: execute again with ``command_id`` to find out."""

    def _text(self, command_id: str) -> str:
        return (
            f"the commit of command {command_id!r} failed and may or may not be on disk: "
            "execute it again with this command_id to find out"
        )


class DeciderFailed(ActorsError):
    """A decider or evolver raised an error, or returned something that is not an event; nothing was written.

    The cause, if there is one, is ``__cause__``.
    """


class Runaway(ActorsError):
    """An instance of a process manager triggers itself without end; it is set aside, and continues slowly."""


class MiddlewareFailed(ActorsError):
    """A middleware neither yielded, nor returned an outcome, nor raised.

    Or, around one of many commands, it raised something that is not an `Exception`: that is the
    ``__cause__``.
    """


# -- the read side --------------------------------------------------------------------------
class QueryFailed(ActorsError):
    """A query's ``run`` raised; the cause is ``__cause__``."""


class QueryTimeout(ActorsError):
    """A query did not answer in time."""


class ConsistencyTimeout(ActorsError):
    """No replica became as fresh as the query demands before its time-out; no stale answer was given."""


class InvalidToken(ActorsError, ValueError):
    """A text given as a session token is not one, or was cut off or changed."""


class ForeignToken(InvalidToken):
    """A session token of another store, or of a later state of this store than it was restored to."""


class ModelStopped(ActorsError):
    """A read model is stopped at an event on which its projection failed, so it can't become fresh."""


class NotStopped(ActorsError, ValueError):
    """The model, or the process manager, is not stopped at the event to skip; nothing was written."""


class ProcessManagerStopped(ActorsError):
    """A process manager is stopped at an input on which it fails; later inputs are not handled."""


class ProcessManagersOff(ActorsError):
    """The process managers of this system are off, so the call has nobody to act; nothing was done."""


class ViewExpired(ActorsError, SnapshotClosed):
    """A view was used after it was closed or had reached its maximum age."""


# -- subscriptions --------------------------------------------------------------------------
class ConsumerMismatch(ActorsError):
    """The consumer of this name has another filter or start, or is open with other settings."""


# -- the system -----------------------------------------------------------------------------
class SystemClosed(ActorsError):
    """The system is closed or closing; the message was not handled."""


class CopyFailed(ActorsError):
    """A store can't be copied through a function; what was copied so far waits for the next attempt."""


class OpenedForReading(ActorsError):
    """The system was opened with ``mode="read"``, and the call would write to the store; nothing was done."""


class UnadoptedCopy(ActorsError):
    """The store is a copy that was not adopted, so it does not act on the world; nothing was done."""


class WrongThread(ActorsError):
    """A call that waits for an actor was made in an actor's own thread, where it might wait for itself."""


class UnknownName(ActorsError, KeyError):
    """Nothing has this name; the message lists the names that exist."""

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        self.known = tuple(known)
        those = f": {', '.join(self.known)}" if self.known else " none"
        super().__init__(f"there is no {kind} {short_repr(name)}; there are{those}")

    # That of KeyError shows the message in quotes.
    __str__ = Exception.__str__

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.kind, self.name, self.known))


class WouldLose(ActorsError):
    """An archive was not removed, since somebody would lose something; nothing was done.

    ``archive`` is its number; ``losses`` has a pair for each who was not named in ``lose=``: how it is named
    there, and what it would lose.
    """

    def __init__(self, archive: int, losses: Sequence[tuple[str, str]]) -> None:
        self.archive = archive
        self.losses = tuple(losses)
        listed = "; ".join(f"{label}: {why}" for label, why in self.losses)
        super().__init__(
            f"archive {archive} was not removed, since its events would be lost to {listed}; if that is "
            "meant, name each in lose=, or keep the archive"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.archive, self.losses))


class UnknownStream(ActorsError, KeyError):
    """Streams that were named have no events; nothing was done."""

    def __init__(self, streams: Sequence[str], what: str) -> None:
        self.streams = tuple(streams)
        self.what = what
        shown = ", ".join(map(repr, self.streams[:10]))
        more = f" and {len(self.streams) - 10:,} more" if len(self.streams) > 10 else ""
        super().__init__(
            f"{what}: there is no stream {shown}{more}; look at streams(), then name those there"
        )

    __str__ = Exception.__str__

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.streams, self.what))


class InvalidTenantName(ActorsError, ValueError):
    """A text that can't be the name of a tenant; nothing was opened or made."""


class UnknownTenant(ActorsError, KeyError):
    """There is no store for a tenant of this name, and none is to be made."""

    __str__ = Exception.__str__


class ForkedProcess(ActorsError):
    """A system was used in a forked child. Open another one there, after the parent closed its own."""
