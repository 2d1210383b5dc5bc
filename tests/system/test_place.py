"""A path is resolved when it is opened: switched links and moved directories neither frighten nor misplace
anything.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from actors import Domain, StoreLocked, System
from storage import Codec, EventLog, ReplicaStore
from tests import inside
from tests.helpers import wait_until
from tests.system.shelves import Books, Lend, shelves

library = Domain("library")


@library.event(state=None)
class Lent:
    book: str


shelf = library.read_model("shelf")
books = shelf.table("books", key="book")


@shelf.on
def on_lent(event: Lent, tables):
    tables[books].put({"book": event.book})


@pytest.fixture
def current(tmp_path: Path) -> Path:
    """A link to the first of two releases."""
    for name in ("release1", "release2"):
        (tmp_path / name).mkdir()
    (tmp_path / "current").symlink_to("release1")
    return tmp_path / "current"


def switch(link: Path, target: str) -> None:
    fresh = link.with_name("fresh")
    fresh.symlink_to(target)
    fresh.replace(link)


def after_a_look(system: System) -> System:
    """The same, once its files were looked at again."""
    looked = inside.files_looked_at(system)
    wait_until(lambda: inside.files_looked_at(system) > looked)
    return system


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_a_deployment_that_switches_a_link_above_the_store_changes_nothing(current: Path, workers) -> None:
    with System.open(current / "store", shelves, replicas=1, workers=workers) as system:
        system.execute(Lend("dune"))
        switch(current, "release2")
        assert after_a_look(system).health().problems == ()
        system.execute(Lend("emma"))
        system.kill("replica-1")
        assert system.query(Books(), consistency="strong") == ["dune", "emma"]
        assert after_a_look(system).health().problems == ()
    assert list((current.parent / "release2").iterdir()) == []
    with System.open(current / "store", shelves, replicas=1) as system:
        assert system.position == 0
    with System.open(current.parent / "release1" / "store", shelves, replicas=1) as system:
        assert system.query(Books(), consistency="strong") == ["dune", "emma"]


def test_a_replica_that_is_begun_anew_after_the_switch_is_where_it_was(current: Path) -> None:
    with System.open(current / "store", library, replicas=1) as system:
        system.append("loans", [Lent("dune")])
        switch(current, "release2")
        home = inside.slot(system, "replica-1")
        before = home.store
        shutil.rmtree(current.parent / "release1" / "store" / "replicas" / "replica-1")
        wait_until(lambda: home.store is not before)
        system.append("loans", [Lent("emma")])
        system.wait_applied()
        assert len(system.dump("replica-1", shelf)["books"]) == 2
    assert list((current.parent / "release2").iterdir()) == []


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_a_store_that_is_moved_while_it_is_open_goes_on_and_says_so(tmp_path: Path, workers) -> None:
    (tmp_path / "one").mkdir()
    with System.open(tmp_path / "one" / "store", shelves, replicas=1, workers=workers) as system:
        system.execute(Lend("dune"))
        system.wait_applied()
        (tmp_path / "one").rename(tmp_path / "two")
        [problem] = wait_until(lambda: system.health().problems)
        assert "was moved away from" in problem
        assert "open it at the new one" in problem
        system.execute(Lend("emma"))
        assert system.query(Books(), consistency="strong") == ["dune", "emma"]
        assert [one for one in system.health().problems if "moved" not in one] == []
    assert not (tmp_path / "one").exists()
    with System.open(tmp_path / "two" / "store", shelves, replicas=1) as system:
        assert system.query(Books(), consistency="strong") == ["dune", "emma"]


def test_another_store_in_the_place_of_a_moved_one_is_left_alone(tmp_path: Path) -> None:
    with System.open(tmp_path / "one", library, replicas=1) as system:
        system.append("loans", [Lent("dune")])
        system.wait_applied()
        (tmp_path / "one").rename(tmp_path / "two")
        with System.open(tmp_path / "one", library, replicas=1) as other:
            other.append("loans", [Lent("emma"), Lent("ulysses")])
            other.wait_applied()
            wait_until(lambda: system.health().problems)
            system.close()
            other.wait_applied()
            assert other.health().problems == ()
    for name, count in (("one", 2), ("two", 1)):
        with System.open(tmp_path / name, library, replicas=1) as system:
            system.wait_applied()
            assert len(system.dump("replica-1", shelf)["books"]) == count


def test_the_same_store_through_two_links_is_locked_and_told_why(current: Path) -> None:
    (current.parent / "other").symlink_to(current.parent / "release1")
    with System.open(current / "store", library, replicas=1):
        with pytest.raises(
            StoreLocked, match="this process has it open itself, perhaps through another link"
        ) as caught:
            System.open(current.parent / "other" / "store", library, replicas=1)
        assert str(os.getpid()) in caught.value.holder


def test_the_storage_alone_resolves_its_paths_too(current: Path) -> None:
    codec = Codec()
    with EventLog.open(current / "log", codec) as log:
        replica = ReplicaStore.open(current / "r", [], codec, history_id=log.history_id, log_head=0)
        switch(current, "release2")
        log.reopen()
        replica.close()
        assert log.path == replica.path.parent / "log" == (current.parent / "release1" / "log").resolve()
        assert not log.moved()
    assert list((current.parent / "release2").iterdir()) == []


def test_a_store_whose_own_directory_is_a_link_is_where_that_leads(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    with System.open(tmp_path / "link", library, replicas=1) as system:
        system.append("loans", [Lent("dune")])
    with System.open(tmp_path / "target", library, replicas=1) as system:
        assert system.position == 1
