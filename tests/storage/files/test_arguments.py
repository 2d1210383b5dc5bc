"""Arguments with which no store can be opened are refused by name, before anything is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.codec.codec import Codec
from storage.errors import StorageError
from storage.files.environment import open_environment
from storage.log.event_log import EventLog
from storage.replica.replica_store import ReplicaStore

OPENERS: list[Callable[..., Any]] = [
    lambda path, **options: open_environment(path, **options),
    lambda path, **options: EventLog.open(path, Codec(), **options),
    lambda path, **options: ReplicaStore.open(path, [], Codec(), history_id="0" * 32, log_head=0, **options),
]
openers = pytest.mark.parametrize("open_it", OPENERS, ids=["environment", "log", "replica"])


@openers
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b"/tmp/x", TypeError),
        (5, TypeError),
        (None, TypeError),
        ("", ValueError),
        ("a\0b", ValueError),
        ("a\ud800", ValueError),
    ],
)
def test_a_path_that_can_be_none_is_refused(
    open_it: Callable[..., Any], path: object, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=r"^path= (must|has)"):
        open_it(path)


@openers
@pytest.mark.parametrize("name", ["n" * 300, "/".join(["n" * 100] * 50)])
def test_a_path_that_is_too_long_is_refused_in_few_words(
    tmp_path: Path, open_it: Callable[..., Any], name: str
) -> None:
    with pytest.raises(StorageError, match=r"File name too long; .*choose a shorter path") as caught:
        open_it(tmp_path / name)
    assert len(str(caught.value)) < 300
    assert list(tmp_path.iterdir()) == []


@openers
@pytest.mark.parametrize(
    ("map_size", "kind"),
    [
        (-5, ValueError),
        (0, ValueError),
        (1 << 64, ValueError),
        (1e9, TypeError),
        ("1", TypeError),
        (True, TypeError),
    ],
)
def test_a_map_size_that_can_be_none_is_refused(
    store_path: Path, open_it: Callable[..., Any], map_size: object, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=r"^map_size= must be"):
        open_it(store_path, map_size=map_size)
    assert not store_path.exists()


def test_a_log_is_not_closed_for_a_map_size_that_can_be_none(store_path: Path) -> None:
    with EventLog.open(store_path, Codec()) as log:
        with pytest.raises(ValueError, match="map_size="):
            log.reopen(map_size=-1)
        assert log.read() == []
