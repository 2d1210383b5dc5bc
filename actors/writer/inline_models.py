"""Inline models: tables that a command's events change in its own transaction, and that deciders read.

The writer's thread while it decides; the opener's while a model that is behind is filled from the log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

from actors.domain.read_model import Handler, ReadModel
from actors.domain.specs import CompiledDomain
from actors.errors import DeciderFailed, ModelStopped, Rejected, described
from actors.replication.skipped_events import SkippedEvents
from storage import (
    DamagedStore,
    EventLog,
    InvalidSchema,
    RecordedEvent,
    StorageError,
    TableReader,
    TableSchema,
)
from storage.log.inline_batch import InlineBatch
from storage.log.records import Undecodable
from storage.log.stored_events import own_copy
from storage.tables.pending_table import PendingTable
from storage.value_text import short_repr

__all__ = ["InlineModels", "InlineRun", "fill"]

logger = logging.getLogger("onewriter.inline")

FILL_BATCH = 2_000
"""Events of one transaction while a model is filled."""
PROGRESS_SECONDS = 5.0
"""Seconds between two lines in the log while a model is filled."""


class InlineModels:
    """The inline models of a domain: which of them takes which event, and whose a table is."""

    def __init__(self, domain: CompiledDomain) -> None:
        self.codec = domain.codec
        self.models = [model for model in domain.models.values() if model.inline]
        self.handlers: dict[type, list[tuple[ReadModel, Handler]]] = {}
        for model in self.models:
            for event, handler in model.handlers.items():
                self.handlers.setdefault(event, []).append((model, handler))
        self.tables = {table for model in self.models for table in model.tables}

    def begin(self, batch: InlineBatch | None) -> InlineRun | None:
        """What a batch of commands does to the models, None where there are none."""
        return None if batch is None else InlineRun(self, batch)


class _Tables(dict[TableSchema, PendingTable]):
    """What a projection gets: the tables of its model."""

    def __init__(self, model: ReadModel, batch: InlineBatch) -> None:
        super().__init__()
        self._model = model
        self._batch = batch

    def __missing__(self, table: TableSchema) -> PendingTable:
        if not any(table is one for one in self._model.tables):
            known = ", ".join(one.name for one in self._model.tables) or "none"
            raise InvalidSchema(
                f"read model {self._model.name!r} has no table {short_repr(table)}; it has: {known}"
            )
        found = self[table] = self._batch.table(table)
        return found


class InlineRun:
    """The inline tables within one batch: changed by events, read by deciders."""

    def __init__(self, models: InlineModels, batch: InlineBatch) -> None:
        self.batch = batch
        self.at: tuple[ReadModel, RecordedEvent] | None = None
        """The projection that runs, and the event that it has."""
        self._models = models
        self._tables = {model.name: _Tables(model, batch) for model in models.models}

    def read(self, table: Any) -> TableReader:
        """A table as the batch so far leaves it. Raises `DeciderFailed` for one of no inline model."""
        if not isinstance(table, TableSchema) or table not in self._models.tables:
            raise not_inline(table)
        return self.batch.view(table)

    def project(self, events: Iterable[RecordedEvent]) -> None:
        """Apply a command's events to the models: all of them, or none.

        Raises the `Rejected` of a projection as it is, and `DeciderFailed` for any other error of one.
        """
        mark = self.batch.mark()
        handlers = self._models.handlers
        try:
            for recorded in events:
                taking = handlers.get(recorded.event.__class__, ())
                for number, (model, handler) in enumerate(taking, 1):
                    # The last one gets the event itself.
                    last = number == len(taking)
                    try:
                        self.apply(
                            model, handler, recorded if last else own_copy(self._models.codec, recorded)
                        )
                    except Rejected:
                        raise
                    except BaseException as error:
                        raise DeciderFailed(
                            f"inline model {model.name!r} failed on event {recorded.type} of stream "
                            f"{recorded.stream!r} with {described(error)}; nothing was written; "
                            "fix its projection"
                        ) from error
        except BaseException:
            self.at = None
            self.batch.back_to(mark)
            raise

    def apply(self, model: ReadModel, handler: Handler, recorded: RecordedEvent) -> None:
        """Have one model take one event; what it wrote can be stored. Raises what its projection does."""
        tables = self._tables[model.name]
        self.at = model, recorded
        if handler.wants_recorded:
            handler.fn(recorded.event, tables, recorded)
        else:
            handler.fn(recorded.event, tables)
        self.at = None
        for table in tables.values():
            table.prepare()


def not_inline(table: Any) -> DeciderFailed:
    """The error for `read[table]` of a table that deciders can't read."""
    return DeciderFailed(
        f"read[...] was given {short_repr(table)}, which is not a table of an inline model; give the object "
        "that "
        "model.table(...) returned, and declare its model with read_model(..., inline=True)"
    )


# -- filling ------------------------------------------------------------------------------------
def fill(log: EventLog, domain: CompiledDomain, skips: SkippedEvents) -> None:
    """Bring the inline models that are new, or behind, up to the log's head, in batches with their positions.

    Before the first command, in the thread that opens the system. Raises `ModelStopped` if a projection
    fails on an event, or one that the model wants can't be decoded, that is not in `skips`; the batches until
    then are kept, and the next opening continues there.
    """
    models = InlineModels(domain)
    head = log.head
    behind = {name: position for name, position in log.inline_positions().items() if position < head}
    if not behind:
        return
    begun = last_report = time.monotonic()
    first = after = min(behind.values())
    logger.info("filling inline models %s from position %d to %d", ", ".join(behind), after + 1, head)
    while after < head:
        after = _fill_batch(log, models, behind, after, skips)
        now = time.monotonic()
        if now - last_report > PROGRESS_SECONDS:
            last_report = now
            logger.info(
                "inline models are at position %d of %d, %.0f events/s",
                after,
                head,
                (after - first) / (now - begun),
            )
    logger.info("inline models %s are filled, in %.1f s", ", ".join(behind), time.monotonic() - begun)


def _fill_batch(
    log: EventLog, models: InlineModels, behind: Mapping[str, int], after: int, skips: SkippedEvents
) -> int:
    """Fill with the events after a position; returns the last one that was looked at."""
    events, until, error = _next_events(log, models, behind, after, skips)
    if error is not None:
        raise error
    batch = log.inline_batch()
    assert batch is not None
    run = InlineRun(models, batch)
    for recorded in events:
        for model, handler in models.handlers.get(recorded.event.__class__, ()):
            position = recorded.position
            if position <= behind.get(model.name, position) or position in skips.of(model.name):
                continue
            try:
                run.apply(model, handler, own_copy(models.codec, recorded))
            except Exception as failure:
                batch.close()
                raise ModelStopped(
                    f"inline model {model.name!r} could not be filled: its projection failed on event "
                    f"{recorded.type} at position {position} with {described(failure)}; fix it, or "
                    "leave inline= out, and open the system again"
                ) from failure
            batch.settle()
    batch.positions = {name: max(position, until) for name, position in behind.items()}
    log.append([], inline=batch)
    batch.close()
    return until


def _next_events(
    log: EventLog, models: InlineModels, behind: Mapping[str, int], after: int, skips: SkippedEvents
) -> tuple[list[RecordedEvent], int, ModelStopped | None]:
    """The next events that a model which is behind wants, and the last position that was looked at.

    They end before one that can't be decoded, unless all that want it skip it; the error, if it is the first.
    Raises `StorageError` if the log is damaged, and not `DamagedStore`: the tables are not the cause.
    """
    codec = models.codec
    names = {
        model.name: [codec.name_of(event) for event in model.handlers]
        for model in models.models
        if model.name in behind
    }
    wanted = log.record_filter({name for several in names.values() for name in several})
    try:
        records, until = log.scan(wanted, after, FILL_BATCH, log.head)
        events, *_ = log.decode_records(records, undecodable=True)
    except DamagedStore as error:
        raise StorageError(str(error)) from None
    for number, recorded in enumerate(events):
        undecodable = recorded.event
        if not isinstance(undecodable, Undecodable):
            continue
        position = recorded.position
        for name, types in names.items():
            if (
                behind[name] < position
                and position not in skips.of(name)
                and recorded.type in codec.sources_of(types)
            ):
                if number:
                    return events[:number], position - 1, None
                stopped = ModelStopped(
                    f"inline model {name!r} could not be filled: the event {recorded.type} at position "
                    f"{position} can't be decoded: {undecodable.error}; then open the system again"
                )
                stopped.__cause__ = undecodable.error
                return [], until, stopped
    return events, until, None
