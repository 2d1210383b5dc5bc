"""Read models whose projections changed while their version did not: said in health, and kept from mixing.

Rows that the former code wrote stay, on every replica alike. A replica that lost its rows would be filled by
the present code alone. So it does not serve such a model until the other replicas have rebuilt it, too; then
the present code filled all of them, and the store notes that. The supervisor's thread runs `run`; any thread
asks.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from actors.errors import ActorsError
from actors.kernel.reply import Reply
from actors.queries.replica_host import ReplicaHost
from actors.replication.progress import Progress
from actors.schema.description import Schema
from actors.schema.notes import model_note
from actors.writer.step_client import StepClient

__all__ = ["ChangedCode"]

logger = logging.getLogger("onewriter.schema")


class ChangedCode:
    """Of one running system. `models` are those whose code changed, until all their rows are of this code."""

    def __init__(
        self,
        schema: Schema,
        models: Collection[str],
        replicas: ReplicaHost,
        progress: Progress,
        steps: StepClient,
    ) -> None:
        """Before the actors start, while positions are those of the replicas' files."""
        self.models = set(models)
        self._schema = schema
        self._replicas = replicas
        self._progress = progress
        self._steps = steps
        self._builds: dict[str, list[Reply[None]]] = {}
        """The models that are being rebuilt, with what each replica that was told to answers."""
        self._noting: dict[str, Future[Any]] = {}
        if not self.models:
            return
        progress.withhold_after_reset(self.models)
        for model in sorted(self.models):
            holders = progress.holders([model])
            empty = [name for name in holders if not progress.replicas[name][model].applied]
            if progress.head and len(empty) == len(holders):
                self._builds[model] = []  # there is nothing but what this code is about to fill
            elif progress.head and empty:
                for name in empty:
                    progress.withhold(name, model)
            logger.warning("%s", self._text(model))

    def warnings(self) -> list[str]:
        """A sentence for each model, for health."""
        return [self._text(model) for model in sorted(self.models)]

    def rebuild_began(self, model: str) -> None:
        """Every replica has begun a new build of the model."""
        if model in self.models:
            self._builds[model] = []

    def run(self) -> None:
        """Rebuild what a replica lost, and note what is rebuilt. The supervisor's thread, at every tick."""
        for model in list(self.models):
            building = [
                run
                for slot in self._replicas.slots.values()
                for run in slot.projector.building
                if run.model.name == model
            ]
            if model in self._noting:
                self._look_after_note(model)
            elif model in self._builds:
                begun = self._builds[model]
                if not building and all(one.done() and one.exception() is None for one in begun):
                    self._note(model)
            elif building:
                # It was interrupted when the system was closed, perhaps before all had begun.
                self._rebuild(model)
            elif self._progress.withheld(model):
                logger.warning(
                    "read model %s: %s is filled again, by other code than the rest; all replicas rebuild it",
                    model,
                    ", ".join(sorted(self._progress.withheld(model))),
                )
                self._rebuild(model)

    def _rebuild(self, model: str) -> None:
        fresh = self._progress.withheld(model)
        others = [name for name in self._progress.holders([model]) if name not in fresh]
        self._builds[model] = [self._replicas.start_build(name, model) for name in others]

    def _note(self, model: str) -> None:
        note = model_note(model, self._schema.models[model])
        with suppress(ActorsError):  # while the writer is busy: it is tried again at the next tick
            self._noting[model] = self._steps.submit([], lambda _outcomes: [note], timeout=0.0)

    def _look_after_note(self, model: str) -> None:
        future = self._noting[model]
        if not future.done():
            return
        del self._noting[model]
        if future.exception() is None:
            self.models.discard(model)
            self._builds.pop(model, None)
            self._progress.settle(model)
            logger.info("read model %s: every replica is filled by the present code", model)

    def _text(self, model: str) -> str:
        version = self._schema.models[model].version
        return (
            f"the projections of read model {model} changed, and its version is still {version}: what they "
            f"wrote before stays as it is; raise its version, or call rebuild()"
        )
