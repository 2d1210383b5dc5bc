"""Closing streams, and opening them again. Callers' threads check the names, the writer's notes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from actors.domain.personal import SubjectForgotten
from actors.errors import UnknownStream
from actors.kernel.actor import refuse_in_actor
from actors.retention.stream_names import checked_streams
from actors.retention.writer_call import ask_writer
from actors.runtime.operation_record import checked_record
from actors.writer.closed_streams import close_streams
from actors.writer.log_operation import LogOperation
from storage import EventLog
from storage.log.log_reader import LogReader
from storage.log.record_filter import type_of

if TYPE_CHECKING:
    from actors.runtime.parts import Parts

__all__ = ["StreamChange", "change_log", "change_streams", "in_parts"]

StreamChange = Callable[[EventLog, Collection[str], str, str], list[str]]
"""`close_streams` or `reopen_streams`."""

AT_A_TIME = 1_000
"""Streams of one recorded operation, so that commands wait for some milliseconds at most."""
FORGOTTEN = "forgotten-"
"""How the streams of `SubjectForgotten` begin."""


def change_streams(
    parts: Parts, change: StreamChange, streams: str | Collection[str], who: str, why: str, timeout: float
) -> tuple[str, ...]:
    """Close or open streams of a running system; returns those that were not so before.

    Raises as `System.close_streams` says.
    """
    method = change.__name__
    refuse_in_actor(method, parts.progress)
    checked_record(method, who, why)
    names = _names(parts.log, change, streams)
    end = time.monotonic() + timeout
    done: list[str] = []
    for some in in_parts(names):
        operation = LogOperation(
            lambda log, some=some: change(log, some, who, why),  # type: ignore[misc]
            "the streams were closed" if change is close_streams else "the streams were opened again",
            f"closed_streams() says which ones are closed; {method}() of those that are so changes nothing",
        )
        done += ask_writer(parts, operation, max(end - time.monotonic(), 0.0))
    return tuple(done)


def change_log(
    log: EventLog, change: StreamChange, streams: Collection[str], who: str, why: str
) -> tuple[str, ...]:
    """The same in a log that no system has open. The thread that writes to it."""
    checked_record(change.__name__, who, why)
    names = _names(log, change, streams)
    return tuple(one for some in in_parts(names) for one in change(log, some, who, why))


def _names(log: LogReader, change: StreamChange, streams: Any) -> list[str]:
    """The streams, each once. Raises `UnknownStream`, `TypeError` or `InvalidKey` for what is no name, and
    `ValueError` for a stream that can't be closed."""
    method = change.__name__
    names = checked_streams(f"{method}()", streams)
    unknown = [one for one in names if not log.stream_version(one)]
    if unknown:
        raise UnknownStream(unknown, f"{method}() did nothing")
    if change is close_streams:
        _refuse_own(log, names)
    return names


def in_parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """The names in lists of `AT_A_TIME`."""
    for first in range(0, len(names), AT_A_TIME):
        yield names[first : first + AT_A_TIME]


def _refuse_own(log: LogReader, names: Sequence[str]) -> None:
    """Raise `ValueError` for streams in which `forget` writes, which has to go through."""
    for one in names:
        if not one.startswith(FORGOTTEN):
            continue
        [(_, first)] = log.stream_records(one, 0, 1)
        if type_of(first) == SubjectForgotten.__name__:
            raise ValueError(
                f"stream {one!r} is the library's own, in which forget() writes that a person was forgotten: "
                "it can't be closed; nothing was done"
            )
