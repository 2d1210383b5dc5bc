"""Calling a decider: which one fits the state, and what it returns. The writer's thread, or a test's."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from actors.domain.specs import CommandSpec, CompiledDomain, Decider
from actors.errors import ActorsError, DeciderFailed, InvalidMessage, Rejected, described
from actors.writer.decider_reader import Reader
from actors.writer.submission import Submission
from storage import CodecError
from storage.codec.codec import Codec
from storage.value_text import short_repr

__all__ = ["MAX_EVENTS", "call_decider", "own_details"]

MAX_EVENTS = 100_000
"""Events that one command may give; a decider that yields endlessly is stopped there."""


def call_decider(domain: CompiledDomain, submission: Submission, state: Any, reader: Reader) -> Iterable[Any]:
    """The events that the decider for this command and state gives.

    Raises Rejected where there is none for the state, and what the decider raises: as DeciderFailed what is
    not about the command itself.
    """
    spec = submission.spec
    assert spec is not None
    decider = spec.deciders.get(None if state is None else type(state))
    if decider is None:
        if state is None:
            raise Rejected(
                f"{spec.name} needs stream {submission.stream!r}, which does not exist",
                code="stream.missing",
            )
        raise Rejected(
            f"{spec.name} is for a new stream, {submission.stream!r} exists already", code="stream.exists"
        )
    try:
        return _events_of(domain, spec, decider, state, submission, reader)
    except (Rejected, InvalidMessage, DeciderFailed):
        raise
    except ActorsError as error:
        # It is about another call than the caller's own, whose id it may carry.
        raise DeciderFailed(
            f"the decider of {spec.name} failed with {described(error)}; nothing was written"
        ) from error


def _events_of(
    domain: CompiledDomain,
    spec: CommandSpec,
    decider: Decider,
    state: Any,
    submission: Submission,
    reader: Reader,
) -> Iterable[Any]:
    if decider.wants_read:
        given = decider.fn(state, submission.command, reader.for_command(submission.metadata))
    else:
        given = decider.fn(state, submission.command)
    if given is None:
        return ()
    if type(given) in domain.events:
        return (given,)
    try:
        events = list(islice(given, MAX_EVENTS + 1))
    except TypeError as error:
        if hasattr(given, "__iter__"):
            raise
        raise DeciderFailed(
            f"the decider of {spec.name} returned {short_repr(given)}, which is neither an event nor "
            "several; "
            "yield events, return one, or return None"
        ) from error
    if len(events) > MAX_EVENTS:
        raise DeciderFailed(
            f"the decider of {spec.name} gave more than {MAX_EVENTS} events for one command; "
            "nothing was written; split the command"
        )
    return events


def own_details(codec: Codec, details: dict[str, Any]) -> dict[str, Any]:
    """The details of a refusal for the caller alone: a decider may have put parts of a state there.

    Values that messages may hold are as decoding gives them; of others the lists, dicts and sets are copied.
    """
    try:
        own: dict[str, Any] = codec.own(details)
    except CodecError:
        own = {name: _copied(codec, value) for name, value in details.items()}
    return own


def _copied(codec: Codec, value: Any) -> Any:
    try:
        return codec.own(value)
    except CodecError:
        pass
    kind = type(value)
    if kind is dict:
        return {key: _copied(codec, item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return kind(_copied(codec, item) for item in value)
    return value.copy() if kind is set else value
