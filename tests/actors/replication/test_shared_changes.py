"""When a replica takes over what another one changed, and when it says that its rows are others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from actors.replication.shared_changes import SharedChanges
from storage.replica.build_changes import BuildChanges

MINE, OTHERS = 1, 2


class Tables:
    """A transaction on tables with this content; the changes that were made in them."""

    def __init__(self, content: int) -> None:
        self.made: list[str] = []
        self._content = content

    def content(self, _build: str) -> int:
        return self._content

    def make_changes(self, build: str, _changes: Any) -> None:
        self.made.append(build)


def build(number: int = 0) -> Any:
    return SimpleNamespace(
        key=f"sales@1.5f3a9c01.{number}", checkpoint=5, model=SimpleNamespace(name="sales")
    )


def compared(shared: SharedChanges, run: Any, content: int = MINE) -> tuple[bool, bool]:
    """Whether the changes are made, and whether the model differs; the other one had `OTHERS` before."""
    tables: Any = Tables(content)
    left = shared.make(tables, [(run, 6)], [BuildChanges("sales@1.5f3a9c01", 5, 6, b"", OTHERS, 3, ())])
    assert bool(tables.made) != bool(left)
    return bool(tables.made), "sales" in shared.differing


def test_a_build_with_the_same_rows_makes_the_changes() -> None:
    assert compared(SharedChanges("replica-2"), build(), OTHERS) == (True, False)


def test_a_build_with_other_rows_projects_and_says_so_until_it_has_the_same() -> None:
    shared = SharedChanges("replica-2")
    assert compared(shared, build()) == (False, True)
    assert compared(shared, build(), OTHERS) == (True, False)


def test_it_says_nothing_while_a_build_is_under_way() -> None:
    assert compared(SharedChanges("replica-2", lambda model: model == "sales"), build()) == (False, False)


def test_a_new_build_is_not_blamed_for_changes_that_were_under_way_when_it_began_to_serve() -> None:
    shared = SharedChanges("replica-2")
    shared.switched(build(1))
    assert compared(shared, build(1)) == (False, False)
    assert compared(shared, build(1)) == (False, True)
    shared = SharedChanges("replica-2")
    shared.switched(build(1))
    assert compared(shared, build(1), OTHERS) == (True, False)
    assert compared(shared, build(1)) == (False, True)
