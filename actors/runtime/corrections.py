"""Corrections of stored events: planned in the caller's thread, made by the writer, followed by rebuilds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from actors.domain.lookup import unknown
from actors.domain.read_model import ReadModel
from actors.domain.specs import CompiledDomain
from actors.errors import ActorsError, CommandTimeout, described
from actors.kernel.actor import refuse_in_actor
from actors.runtime.operation_record import checked_record
from actors.runtime.parts import Parts
from actors.runtime.rebuilds import Rebuilds
from actors.writer.call_errors import overloaded
from actors.writer.correction_request import CorrectionRequest
from storage import CodecError, Correction, CorrectionRefused, RecordedEvent
from storage.codec.codec import Codec
from storage.codec.json_form import unpack_stored
from storage.codec.upcasting import version_of
from storage.log.corrections import ChangedEvent
from storage.log.records import DROPPED, encode_event
from storage.log.stored_events import decode_event, own_copy, with_event

__all__ = ["CorrectedEvent", "CorrectionPlan", "Corrections", "Selected", "Through"]

CHUNK = 1_000
"""Positions that are read at a time."""

MOST_EXAMPLES = 10

_TYPE, _ORIGIN = 2, 11  # indexes in a stored event

Through = Callable[[RecordedEvent], Any]
"""Gives None to leave an event as it is, the event that it should have been, or that and its metadata."""


class CorrectedEvent(NamedTuple):
    """An event before and after a correction."""

    before: RecordedEvent
    after: RecordedEvent


class Selected(NamedTuple):
    """Which events a correction is about: all of them, if nothing is given."""

    types: frozenset[str] = frozenset()
    streams: frozenset[str] = frozenset()
    after: int = 0
    until: int | None = None


@dataclass(slots=True)
class CorrectionPlan:
    """What a correction would change; nothing is changed before `apply`.

    `scanned` events were read, `count` of them would change, `types` counts these by their present type, and
    `examples` are the first ten. `models` are the read models that will be rebuilt.
    """

    scanned: int = 0
    types: Counter[str] = field(default_factory=Counter)
    examples: list[CorrectedEvent] = field(default_factory=list)
    models: tuple[str, ...] = ()
    _changes: list[ChangedEvent] = field(default_factory=list, repr=False)
    _written: set[str] = field(default_factory=set, repr=False)
    _apply: Callable[[CorrectionPlan, str, str, float], Correction] | None = field(default=None, repr=False)

    @property
    def count(self) -> int:
        """How many events would change."""
        return len(self._changes)

    @property
    def positions(self) -> tuple[int, ...]:
        """Their positions."""
        return tuple(changed.position for changed in self._changes)

    def apply(self, *, who: str, why: str, timeout: float = 30.0) -> Correction:
        """Make the correction, in one commit, and begin to rebuild the models; returns its record.

        `who` does it and `why` are kept with it; neither may be empty. `System.wait_rebuilt` waits for the
        models. Process managers and consumers are not given the events again.

        Raises CorrectionRefused if there is nothing to change, or an event was corrected since it was
        planned; ValueError, Overloaded; CommandTimeout after `timeout` seconds, and CommitUncertain if the
        commit failed: then `System.corrections` says whether it was made; ConsistencyTimeout if it was made
        and a replica does not begin its rebuild, which it does later; OpenedForReading, WrongThread.
        """
        assert self._apply is not None
        return self._apply(self, who, why, timeout)


class Corrections:
    """Of one running system."""

    def __init__(self, parts: Parts, rebuilds: Rebuilds) -> None:
        self._parts = parts
        self._rebuilds = rebuilds

    # -- planning ----------------------------------------------------------------------------
    def plan(
        self, through: Through, selected: Selected, progress: Callable[[int, int], None] | None = None
    ) -> CorrectionPlan:
        """Have `through` look at the events. Raises `CorrectionRefused`, and what decoding raises."""
        parts = self._parts
        log, plan = parts.log, CorrectionPlan(_apply=self._apply)
        head = parts.progress.latest_head()
        end = head if selected.until is None else min(selected.until, head)
        after = min(selected.after, end)
        touched: set[type] = set()
        while after < end:
            records = log.records(after, CHUNK, end)
            for position, data in enumerate(records, after + 1):
                found = self._read(position, data, selected)
                if found:
                    plan.scanned += 1
                    self._look(plan, through, data, found, touched)
            after += len(records)
            if progress is not None:
                progress(after, end)
        models = self._models_of(touched)
        inline = sorted(model.name for model in models if model.inline)
        if inline:
            raise CorrectionRefused(
                f"inline model {inline[0]!r} handles events that would change, and the writer can't fill it "
                "again while it serves: open the store with a domain that does not declare it, correct, and "
                "open it with it again, which fills it from the log"
            )
        plan.models = tuple(sorted({model.name for model in models}))
        return plan

    def _read(self, position: int, data: bytes, selected: Selected) -> list[RecordedEvent]:
        """The event in stored bytes, as several if upcasters made several of it; empty if it is not meant."""
        codec = self._parts.domain.codec
        try:
            read = decode_event(codec, position, data)
        except CodecError:
            stream, _, type_name, *_ = unpack_stored(data)
            name = _present_name(codec, type_name)
            if (selected.types and name not in selected.types) or (
                selected.streams and stream not in selected.streams
            ):
                return []
            raise
        found = [one for one in (read if isinstance(read, list) else [read]) if one.event is not DROPPED]
        return [
            one
            for one in found
            if (not selected.types or one.type in selected.types)
            and (not selected.streams or one.stream in selected.streams)
        ]

    def _look(
        self,
        plan: CorrectionPlan,
        through: Through,
        data: bytes,
        found: list[RecordedEvent],
        touched: set[type],
    ) -> None:
        domain = self._parts.domain
        for recorded in found:
            where = f"event {recorded.type} at position {recorded.position}, of stream {recorded.stream!r}"
            try:
                given = through(own_copy(domain.codec, recorded))
            except Exception as error:
                raise CorrectionRefused(f"the correction failed on {where}: {described(error)}") from error
            after = _after(domain, recorded, given, where)
            if after is None:
                continue
            if recorded.parts != 1:
                raise CorrectionRefused(
                    f"{where}, is one of {recorded.parts} that upcasters made of one: what is stored can't "
                    "be corrected by it; change the upcaster"
                )
            origin = unpack_stored(data)[_ORIGIN:]
            encoded = encode_event(domain.codec.sealed, after, *origin)
            if encoded == data:
                continue
            plan._changes.append(ChangedEvent(recorded.position, data, encoded))
            plan._written.add(after.type)
            plan.types[recorded.type] += 1
            touched.update((type(recorded.event), type(after.event)))
            if len(plan.examples) < MOST_EXAMPLES:
                plan.examples.append(CorrectedEvent(recorded, after))

    def _models_of(self, touched: Collection[type]) -> list[ReadModel]:
        domain = self._parts.domain
        versions = [
            version
            for model in domain.models.values()
            for version in (model, *domain.old_models.get(model.name, ()))
        ]
        return [model for model in versions if not model.handlers.keys().isdisjoint(touched)]

    # -- making it ---------------------------------------------------------------------------
    def _apply(self, plan: CorrectionPlan, who: str, why: str, timeout: float) -> Correction:
        parts = self._parts
        refuse_in_actor("apply", parts.progress)
        checked_record("apply", who, why)
        if not plan._changes:
            raise CorrectionRefused("this correction changes nothing: no event would be another one")
        request = CorrectionRequest(plan._changes, who, why, plan.models, plan._written)
        mailbox = parts.command_client.mailbox
        if not mailbox.offer(request, timeout):
            raise overloaded(mailbox)
        try:
            number = request.future.result(timeout)
        except TimeoutError:
            raise CommandTimeout(
                "", "no reply in time to the correction; corrections() says whether it was made"
            ) from None
        self._rebuilds.start_all(plan.models)
        return parts.log.corrections()[number - 1]


def _present_name(codec: Codec, stored: str) -> str:
    """The name of a stored type now, as far as no upcaster makes another type of it."""
    if stored in codec.former:
        return codec.former[stored][0].name
    return version_of(stored)[0]


def _after(domain: CompiledDomain, recorded: RecordedEvent, given: Any, where: str) -> RecordedEvent | None:
    """The event as it is to be; None if it stays as it is. Raises `CorrectionRefused`."""
    event, metadata = given, recorded.metadata
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], dict | None):
        event, metadata = given
    if event is None:
        event = recorded.event
    if type(event) is type(recorded.event) and event == recorded.event and metadata == recorded.metadata:
        return None
    spec = domain.events.get(type(event))
    if spec is None:
        raise CorrectionRefused(f"the correction of {where}: {unknown(event, 'event', domain)}")
    try:
        spec.check(event)
        stream = recorded.stream if spec.stream_of is None else spec.stream_of(event)
        tags = () if spec.tags_of is None else spec.tags_of(event)
    except ActorsError as error:
        raise CorrectionRefused(f"the correction of {where}: {error}") from error
    if stream != recorded.stream:
        raise CorrectionRefused(
            f"the correction of {where}: {spec.name} would belong to stream {stream!r}, and a corrected "
            "event stays in its stream; `onewriter copy` makes a store with other streams"
        )
    former = domain.events[type(recorded.event)]
    if set(tags) != set(() if former.tags_of is None else former.tags_of(recorded.event)):
        raise CorrectionRefused(
            f"the correction of {where} would change its tags, which are in an index; `onewriter copy` makes "
            "a store with other tags"
        )
    return with_event(recorded, domain.codec.own(event), spec.name, domain.codec.own(metadata))
