"""Opening views, without files and actors: stores whose snapshots are what a test says."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from actors import (
    ConsistencyTimeout,
    Domain,
    ModelStopped,
    StorageError,
    SystemClosed,
    UnknownMessage,
    ViewExpired,
)
from actors.kernel.mailbox import Mailbox
from actors.queries.balancer import Balancer
from actors.queries.query_actor import QueryStats
from actors.queries.query_dispatcher import QueryDispatcher
from actors.queries.query_endpoint import QueryEndpoint
from actors.queries.session_token import SessionTokens
from actors.queries.view_registry import ViewRegistry
from actors.replication.progress import Progress
from storage import StoreClosed
from storage.errors import DamagedStore, FilesGone
from tests.helpers import Threads, wait_until

garden = Domain("garden")
plants = garden.read_model("plants")
pots = garden.read_model("pots")
ledger = garden.read_model("ledger", inline=True)
LIMIT = 0.02
"""Seconds of those who wait in vain."""


AT_7 = {"plants": 7, "pots": 7, "ledger": 7}


class Snapshot:
    """Of models at these positions."""

    def __init__(self, positions: Mapping[str, int]) -> None:
        self.positions = positions
        self.open = True
        self.opened = time.monotonic()

    def checkpoints(self, models: Any) -> tuple[int, int]:
        positions = [self.positions[name] for name in models]
        return min(positions), max(positions)

    def checkpoint(self, model: str) -> int:
        return self.positions[model]

    def close(self) -> None:
        self.open = False

    def abandon(self) -> None:
        self.open = False


class Store:
    """Of one replica: `errors` come first, then snapshots of what it has applied."""

    path = "replicas/replica-1"

    def __init__(self, **positions: int) -> None:
        self.positions = positions
        self.errors: list[Exception] = []
        self.given: list[Snapshot] = []

    def snapshot(self, models: Any = None, *, closed: type[Exception]) -> Snapshot:
        assert closed is ViewExpired
        if self.errors:
            raise self.errors.pop(0)
        self.given.append(Snapshot(dict(self.positions)))
        return self.given[-1]


class Garden:
    """A registry of two replicas that have applied 7, of a log that ends there."""

    def __init__(self) -> None:
        self.domain = garden.compile()
        self.stores: dict[str, Any] = {name: Store(**AT_7) for name in ("replica-1", "replica-2")}
        self.log = Store(ledger=7)
        self.progress = Progress(7, list(AT_7), list(self.stores))
        for name in self.stores:
            self.progress.applied(name, AT_7.items())
        endpoints = [QueryEndpoint(f"{name}.query-1", name, Mailbox(), QueryStats()) for name in self.stores]
        self.reads = QueryDispatcher(
            self.domain,
            self.progress,
            Balancer(endpoints),
            self.stores,
            SessionTokens(b"history", self.progress),
            max_waiting=10,
        )
        self.damaged: list[tuple[str, Any, str]] = []
        self.is_given_up = True
        self.is_moved = False
        self.registry = ViewRegistry(
            self.domain,
            self.reads,
            self.progress,
            self.stores,
            self.log.snapshot,
            self.mark_damaged,
            lambda: self.is_moved,
        )

    def mark_damaged(self, name: str, store: Any, reason: str) -> bool:
        self.damaged.append((name, store, reason))
        if self.is_given_up:
            self.stores[name] = Store(**AT_7)
        return self.is_given_up

    def open(self, *models: Any, **options: Any) -> Any:
        return self.registry.open(models, {"timeout": LIMIT, **options})

    def known(self) -> int:
        """How many views are open, by what is closed when all are too old."""
        return self.registry.expire(-1.0)


@pytest.fixture
def made() -> Garden:
    return Garden()


# -- which replica --------------------------------------------------------------------------------
def test_a_view_is_of_the_models_that_were_asked_for_or_of_all(made: Garden) -> None:
    assert set(made.open(plants)._models) == {"plants"}
    assert set(made.open(plants, pots)._models) == {"plants", "pots"}
    assert set(made.open()._models) == {"plants", "pots", "ledger"}


def test_replicas_take_turns(made: Garden) -> None:
    assert {made.open(plants).replica for _ in range(2)} == {"replica-1", "replica-2"}


def test_a_model_that_the_domain_has_not_is_an_error(made: Garden) -> None:
    with pytest.raises(UnknownMessage, match="is not a read model of domain 'garden'"):
        made.open(Domain("other").read_model("weeds"))


def test_a_replica_that_lags_is_not_asked_for_what_it_has_not(made: Garden) -> None:
    made.progress.committed(8)
    made.progress.applied("replica-2", [("plants", 8), ("pots", 8)])
    made.stores["replica-2"].positions["plants"] = 8
    assert {made.open(plants, after=8).replica for _ in range(4)} == {"replica-2"}


# -- waiting --------------------------------------------------------------------------------------
def test_a_view_waits_for_a_replica_that_is_fresh_enough(made: Garden) -> None:
    made.progress.committed(8)
    found: list[Any] = []
    with Threads() as threads:
        threads.start(lambda: found.append(made.open(plants, after=8, timeout=20)))
        wait_until(lambda: made.progress._waiters)
        made.stores["replica-1"].positions["plants"] = 8
        made.progress.applied("replica-1", [("plants", 8)])
    assert found[0].replica == "replica-1"


def test_who_waits_in_vain_is_told_what_was_asked_for_and_is_waited_for_no_longer(made: Garden) -> None:
    with pytest.raises(ConsistencyTimeout, match=r"in plants within 0\.02 s: position 9 was asked for"):
        made.open(plants, after=9)
    assert not made.progress._waiters


def test_who_is_interrupted_while_it_waits_is_waited_for_no_longer(
    made: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

    monkeypatch.setattr("actors.queries.view_registry.threading.Event", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        made.open(plants, after=9)
    assert not made.progress._waiters


def test_a_model_that_is_stopped_everywhere_is_not_waited_for(made: Garden) -> None:
    for name in made.stores:
        made.progress.stopped(name, "plants", 8, "a bug")
    made.progress.committed(8)
    with pytest.raises(ModelStopped, match="a bug"):
        made.open(plants, after=8, timeout=20)


def test_no_view_is_opened_once_the_system_is_closed(made: Garden) -> None:
    made.progress.close()
    for store in made.stores.values():
        store.errors = [StoreClosed("closed")]
    with pytest.raises(SystemClosed):
        made.open(plants, timeout=20)


# -- replicas that are not what was said of them --------------------------------------------------
@pytest.mark.parametrize(
    "error",
    [StoreClosed("closed"), FilesGone("gone"), ViewExpired("begun anew")],
    ids=lambda error: type(error).__name__,
)
def test_a_store_that_is_begun_anew_this_moment_is_tried_again(made: Garden, error: Exception) -> None:
    for store in made.stores.values():
        store.errors = [error, error]
    assert made.open(plants, timeout=20).replica
    assert made.damaged == []


@pytest.mark.parametrize("error", [StoreClosed("closed"), FilesGone("gone")])
def test_where_the_store_was_moved_away_the_error_is_the_callers(made: Garden, error: Exception) -> None:
    made.is_moved = True
    for store in made.stores.values():
        store.errors = [error]
    with pytest.raises(type(error)):
        made.open(plants, timeout=20)


def test_a_replica_that_is_damaged_is_begun_anew_and_another_one_asked(made: Garden) -> None:
    damaged = dict(made.stores)
    for store in damaged.values():
        store.errors = [DamagedStore("page 7"), DamagedStore("page 7")]
    assert made.open(plants, timeout=20).replica
    [(name, store, reason), *_] = made.damaged
    assert store is damaged[name]
    assert reason == "it is damaged: page 7"


def test_damage_that_can_not_be_mended_is_the_callers(made: Garden) -> None:
    made.is_given_up = False
    for store in made.stores.values():
        store.errors = [DamagedStore("page 7")]
    with pytest.raises(DamagedStore, match="page 7"):
        made.open(plants, timeout=20)


def test_an_error_that_is_no_damage_is_the_callers(made: Garden) -> None:
    for store in made.stores.values():
        store.errors = [StorageError("too many snapshots")]
    with pytest.raises(StorageError, match="too many snapshots"):
        made.open(plants, timeout=20)
    assert made.damaged == []


@pytest.mark.parametrize(
    ("positions", "options"),
    [
        pytest.param({"plants": 7, "pots": 6}, {}, id="one model behind the other"),
        pytest.param({"plants": 6, "pots": 6}, {"after": 7}, id="behind what was asked for"),
        pytest.param({"plants": 0, "pots": 0}, {}, id="begun anew"),
    ],
)
def test_a_snapshot_that_does_not_show_what_was_said_is_closed_and_another_one_taken(
    made: Garden, positions: dict[str, int], options: dict[str, Any]
) -> None:
    for name, store in made.stores.items():
        store.positions = dict(positions)
        if not any(positions.values()):
            made.progress.mark_reset(name)
            made.progress.applied(name, AT_7.items())
    with pytest.raises(ConsistencyTimeout):
        made.open(plants, pots, **options)
    given = [one for store in made.stores.values() for one in store.given]
    assert given
    assert not any(one.open for one in given)
    assert made.known() == 0
    for store in made.stores.values():
        store.positions = dict(AT_7)
    assert made.open(plants, pots, **options)._snapshot.open


# -- the writer's own tables ----------------------------------------------------------------------
def test_inline_models_alone_are_read_where_the_writer_has_them(made: Garden) -> None:
    view = made.open(ledger)
    assert view.replica == ""
    assert view._snapshot is made.log.given[0]
    assert made.known() == 1


@pytest.mark.parametrize("error", [StoreClosed("closed"), StorageError("no reader left")])
def test_where_the_log_can_not_be_read_now_a_replica_has_the_inline_models_too(
    made: Garden, error: Exception
) -> None:
    made.log.errors = [error]
    assert made.open(ledger, timeout=20).replica


def test_the_writers_tables_are_not_read_for_a_position_that_they_have_not(made: Garden) -> None:
    with pytest.raises(ConsistencyTimeout):
        made.open(ledger, after=8)
    [given] = made.log.given
    assert not given.open
    assert made.known() == 0


# -- views that are open --------------------------------------------------------------------------
def test_views_that_are_too_old_are_closed_and_others_stay(made: Garden) -> None:
    old = made.open(plants)
    wait_until(lambda: time.monotonic() > old.opened + 0.02)
    age = time.monotonic() - old.opened
    young = made.open(plants)
    assert made.registry.expire(age - 0.001) == 1
    assert not old._snapshot.open
    assert young._snapshot.open
    assert made.known() == 1


def test_a_view_that_is_closed_is_known_no_more(made: Garden) -> None:
    made.open(plants).close()
    assert made.known() == 0


def test_in_a_child_the_views_of_the_parent_are_given_up_whoever_has_the_lock(made: Garden) -> None:
    view = made.open(plants)
    with made.registry._views_lock:
        made.registry.forked()
        assert not view._snapshot.open
        made.open(plants)


def test_damage_that_a_block_meets_has_its_replica_begun_anew(made: Garden) -> None:
    view = made.open(plants)
    store = made.stores[view.replica]
    with pytest.raises(DamagedStore), view:
        raise DamagedStore("page 9")
    assert made.damaged == [(view.replica, store, "it is damaged: page 9")]


def test_an_error_of_the_block_that_is_no_damage_is_nobodys_fault(made: Garden) -> None:
    with pytest.raises(LookupError), made.open(plants):
        raise LookupError("no such plant")
    assert made.damaged == []
