"""Whether models may have changed since a position, as far as their replicas' states say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from actors.queries.model_changes import ModelChanges
from storage import StoreClosed


@dataclass
class State:
    """One replica: of each model the build, the position that last changed it, and its checkpoint."""

    models: dict[str, tuple[str, int, int]] = field(default_factory=dict)

    def build(self, model: str) -> str:
        return self.models[model][0]

    def changed(self, model: str) -> int:
        return self.models[model][1]

    def checkpoint(self, model: str) -> int:
        return self.models[model][2]


class Store:
    def __init__(self, **models: tuple[str, int, int]) -> None:
        self._state = State(models)
        self.closed = False

    @property
    def state(self) -> State:
        if self.closed:
            raise StoreClosed("it is being reset")
        return self._state

    def at(self, **models: tuple[str, int, int]) -> None:
        self._state.models.update(models)


@pytest.fixture
def stores() -> dict[str, Store]:
    return {name: Store(m=("m1", 4, 10), n=("n1", 2, 10)) for name in ("a", "b")}


def changes_of(stores: dict[str, Store], *models: str) -> ModelChanges:
    changes = ModelChanges(models, cast(Any, stores))
    assert changes.switched(["a", "b"]), "at the first look all builds are new"
    return changes


def test_a_switch_is_told_once_for_each_replica(stores: dict[str, Store]) -> None:
    changes = changes_of(stores, "m")
    assert not changes.switched(["a", "b"])
    stores["b"].at(m=("m2", 4, 10))
    assert changes.switched(["a", "b"])
    assert not changes.switched(["a", "b"])
    stores["a"].at(n=("n2", 4, 10))
    assert not changes.switched(["a", "b"]), "the query does not read that model"


def test_events_that_change_no_table_move_the_position_and_call_for_no_run(stores: dict[str, Store]) -> None:
    changes = changes_of(stores, "m", "n")
    stores["a"].at(m=("m1", 4, 14), n=("n1", 2, 12))
    assert changes.unchanged_up_to(10, ["a", "b"]) == 12


def test_a_changed_table_another_build_or_no_progress_calls_for_a_run(stores: dict[str, Store]) -> None:
    changes = changes_of(stores, "m", "n")
    assert changes.unchanged_up_to(10, ["a", "b"]) is None, "no replica has got any further"
    stores["a"].at(n=("n1", 11, 12), m=("m1", 4, 12))
    assert changes.unchanged_up_to(10, ["a"]) is None
    stores["b"].at(n=("n1", 2, 12), m=("m2", 4, 12))
    assert changes.unchanged_up_to(10, ["b"]) is None
    assert changes.unchanged_up_to(10, ["b"]) == 12, "that build has been looked at"


def test_a_replica_that_is_being_reset_may_have_changed_and_has_not_switched(
    stores: dict[str, Store],
) -> None:
    changes = changes_of(stores, "m")
    stores["a"].closed = True
    assert changes.unchanged_up_to(10, ["a", "b"]) is None
    assert not changes.switched(["a", "b"])
