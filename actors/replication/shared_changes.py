"""Making the changes that another replica's projections made, in place of projecting. The replica's thread.

Only where the builds had the same content before: then they have the same content afterwards. A build that
differs, because its projection is not deterministic and it once projected alone, projects by itself until it
has been copied.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from actors.replication.build_progress import BuildProgress
from storage import WriteTransaction
from storage.replica.build_changes import BuildChanges, code_of

__all__ = ["SharedChanges", "chain_of"]

logger = logging.getLogger("onewriter.replica")

Due = Sequence[tuple[BuildProgress, int]]
"""Builds, and the position up to which each is to come."""


class SharedChanges:
    """Which builds of one replica follow another one's, and which differ from it."""

    def __init__(self, replica: str, replaced: Callable[[str], bool] = lambda _model: False) -> None:
        """`replaced` says whether a new build of a model is under way, or is to be: others may have it."""
        self._replica = replica
        self._replaced = replaced
        self.differing: dict[str, int] = {}
        """The models whose rows are not those of other replicas, with the position at which that was found.
        Replaced, never changed, so that any thread may read it."""
        self._new: set[str] = set()
        """The builds that serve since a rebuild, and were compared with no other replica's yet."""

    def switched(self, run: BuildProgress) -> None:
        """A new build serves: changes that are under way may be of another replica's former build."""
        self._new.add(run.key)

    def make(self, transaction: WriteTransaction, due: Due, changes: Sequence[BuildChanges]) -> Due:
        """Make these changes in the builds that they are for; returns the builds that have to project."""
        left: list[tuple[BuildProgress, int]] = []
        for run, until in due:
            chain = chain_of(changes, code_of(run.key), run.checkpoint, until)
            if chain and self._same(transaction, run, chain[0]):
                transaction.make_changes(run.key, chain)
            else:
                left.append((run, until))
        return left

    def _same(self, transaction: WriteTransaction, run: BuildProgress, first: BuildChanges) -> bool:
        model = run.model.name
        is_new = run.key in self._new
        self._new.discard(run.key)
        if transaction.content(run.key) == first.content_before:
            self.settle(model)
            return True
        if model not in self.differing and not is_new and not self._replaced(model):
            self.differing = {**self.differing, model: run.checkpoint}
            logger.warning(
                "model %s on %s has other rows at position %d than another replica: its projections are not "
                "deterministic, or were changed without a new version",
                model,
                self._replica,
                run.checkpoint,
            )
        return False

    def settle(self, model: str) -> None:
        """The model has the rows of other replicas again."""
        if model in self.differing:
            self.differing = {name: at for name, at in self.differing.items() if name != model}


def chain_of(changes: Sequence[BuildChanges], code: str, after: int, until: int) -> list[BuildChanges]:
    """The changes of a build from one position to another, without a gap; empty if there are none such."""
    chain: list[BuildChanges] = []
    for one in changes:
        if one.code == code and one.after == after:
            if chain and chain[-1].content != one.content_before:
                return []
            chain.append(one)
            after = one.position
    return chain if chain and after == until else []
