"""Read models filled from a test's events, in a replica's own tables in a temporary folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from tempfile import TemporaryDirectory

from actors.domain.read_model import ReadModel
from actors.domain.specs import CompiledDomain
from actors.queries.view import View
from actors.replication.projector import Projector
from storage import RecordedEvent, ReplicaStore

__all__ = ["Projected"]


class Projected(View):
    """A view of tables that were filled just now; use it in a `with` block. Its folder goes with it.

    Raises `AssertionError` with the traceback for an event that a projection fails on.
    """

    __slots__ = ("_files",)

    def __init__(
        self, domain: CompiledDomain, models: Sequence[ReadModel], events: Sequence[RecordedEvent]
    ) -> None:
        with ExitStack() as files:
            folder = files.enter_context(TemporaryDirectory(prefix="onewriter-test-"))
            store = files.enter_context(
                ReplicaStore.open(
                    f"{folder}/replica",
                    [model.schema for model in models],
                    domain.codec,
                    history_id="0" * 32,
                    log_head=len(events),
                    map_size=1 << 30,
                )
            )
            projector = Projector(store, models)
            if events:
                projector.apply(events)
            for run in projector.runs:
                if run.failure is not None:
                    raise AssertionError(
                        f"model {run.model.name} failed on event {run.failure.position}, "
                        f"{events[run.failure.position - 1].event!r}:\n{run.failure.text}"
                    )
            super().__init__(store.snapshot(), {model.name: model for model in models})
            self._files = files.pop_all()

    def close(self) -> None:
        """Let the snapshot go and remove the folder."""
        super().close()
        self._files.close()
