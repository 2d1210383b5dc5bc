"""What a replica knows about itself at one commit: active builds, checkpoints, and when each table changed.

The thread that applies events creates one for each commit, and it never changes; any thread reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storage.errors import InvalidSchema
from storage.replica.open_build import BuildMark, OpenBuild
from storage.tables.access import TableHandle
from storage.value_text import short_repr

__all__ = ["CommitState"]


class CommitState:
    """The state of a replica after one commit.

    Raises InvalidSchema for a model that the replica does not have.
    """

    __slots__ = ("active", "marks", "txn_id")

    def __init__(self, txn_id: int, active: Mapping[str, OpenBuild], marks: Mapping[str, BuildMark]) -> None:
        self.txn_id = txn_id
        self.active = active
        self.marks = marks

    def checkpoint(self, model: str) -> int:
        """The position of the last event in the model's active build, 0 for none."""
        try:
            return self.marks[self.active[model].key][0]
        except (KeyError, TypeError):
            return self.marks[self.opened(model).key][0]

    def changed(self, model: str, name: str = "") -> int:
        """An upper bound of the position that last changed a table or object of the model, or any for "".

        It is about one build: compare it only together with `build`. Directly after opening it is the
        checkpoint.
        """
        _, since, changed = self.marks[self.opened(model).key]
        return changed.get(name, since)

    def version(self, model: str) -> int:
        """The version of the model's code that filled the active build."""
        return self.opened(model).build.version

    def build(self, model: str) -> str:
        """The key of the model's active build."""
        return self.opened(model).key

    def opened(self, model: str) -> OpenBuild:
        """The model's active build."""
        try:
            return self.active[model]
        except (KeyError, TypeError):
            known = ", ".join(self.active) or "none"
            raise InvalidSchema(f"the replica has no read model {model!r}; it has: {known}") from None

    def table(self, model: str, schema: Any) -> TableHandle:
        """The table with this schema's name in the active build."""
        opened = self.opened(model)
        try:
            return opened.by_name[schema.name]
        except (KeyError, AttributeError, TypeError):
            known = ", ".join(opened.by_name) or "none"
            raise InvalidSchema(
                f"read model {model!r}, version {opened.build.version}, has no table {short_repr(schema)}; "
                f"it has: {known}"
            ) from None
