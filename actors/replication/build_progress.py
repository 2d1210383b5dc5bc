"""How far one build of a model on one replica is, and what stopped it. The replica's thread writes, any
thread reads."""

from __future__ import annotations

import traceback
from typing import NamedTuple

from actors.domain.read_model import ReadModel
from actors.errors import described
from actors.replication.rebuild_rate import RebuildRate
from storage import StoreFull

__all__ = ["ProjectionFailure", "BuildProgress", "FrozenBuild"]


class ProjectionFailure:
    """The event at which a model stopped, and why; it has nothing of the command that this event is of.

    `before` is the position before that command.
    """

    __slots__ = ("attempts", "before", "error", "full", "position", "text", "type")

    def __init__(
        self, position: int, type_: str, error: BaseException, attempts: int, before: int | None = None
    ) -> None:
        """The event is the first of its command unless `before` is given."""
        self.position = position
        self.before = position - 1 if before is None else before
        self.type = type_
        self.full = isinstance(error, StoreFull)
        self.error = described(error)
        self.text = "".join(traceback.format_exception(error))
        self.attempts = attempts


class BuildProgress:
    """One build of a model on one replica: its checkpoint, and its failure while it is stopped.

    `rate` is kept, and `waiting` says that the replica waits for the rebuild lock, while the build is one
    beside another.
    """

    __slots__ = ("checkpoint", "failure", "key", "model", "rate", "waiting")

    def __init__(self, model: ReadModel, key: str, checkpoint: int) -> None:
        self.model = model
        self.key = key
        self.checkpoint = checkpoint
        self.failure: ProjectionFailure | None = None
        self.rate = RebuildRate()
        self.waiting = False


class FrozenBuild(NamedTuple):
    """A build that serves although its code is gone: it stays where it is."""

    name: str
    version: int
    checkpoint: int
