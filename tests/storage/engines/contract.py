"""The contract of every engine of read models: the promises of `storage.engines.base`, as tests.

The test of an engine is a subclass that says how to write and read a row; `test_contract.py` has those of the
engines of this package.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from storage import (
    Codec,
    DamagedStore,
    ModelSchema,
    OnewriterError,
    SnapshotClosed,
    StorageError,
    StoreClosed,
)
from storage.engines.base import ModelSnapshot, ModelStore, TryAgain
from tests.helpers import Threads


class Expired(SnapshotClosed):
    """The error of a view that is used after its end."""


class EngineContract(ABC):
    """Rows are numbers by name here, in whatever form the engine stores them."""

    engine: ClassVar[type[ModelStore]]
    schema: ClassVar[ModelSchema]

    @abstractmethod
    def put(self, target: Any, name: str, number: int) -> None:
        """Write a row, as a projection does, and replace the one with this name; `target` is from `begin`."""

    @abstractmethod
    def rows(self, target: Any) -> dict[str, int]:
        """All rows, as a query reads them; `target` is that of a snapshot."""

    # -- helpers ---------------------------------------------------------------------------------------------
    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        return tmp_path / "numbers@1.abc.1"

    @pytest.fixture
    def open(self, directory: Path) -> Iterator[Callable[[], ModelStore]]:
        opened: list[ModelStore] = []

        def open() -> ModelStore:
            opened.append(self.engine.open(directory, self.schema, Codec()))
            return opened[-1]

        yield open
        for store in opened:
            store.close()

    @contextmanager
    def pinned(self, store: ModelStore) -> Iterator[ModelSnapshot]:
        waited = False
        while True:
            try:
                snapshot = store.snapshot(closed=Expired, waited=waited)
            except TryAgain as again:
                again.store.await_readable()
                waited = True
            else:
                break
        try:
            yield snapshot
        finally:
            snapshot.close()

    def now(self, store: ModelStore) -> dict[str, int]:
        with self.pinned(store) as snapshot:
            return self.rows(snapshot.target)

    def apply(self, store: ModelStore, position: int, digest: bytes = b"", **rows: int) -> Any:
        """Apply a batch that ends at this position; returns the result of `begin`."""
        target = store.begin()
        for name, number in rows.items():
            self.put(target, name, number)
        store.flush()
        store.commit(position, digest)
        return target

    # -- batches ---------------------------------------------------------------------------------------------
    def test_a_new_store_is_empty_and_at_no_position(self, open: Callable[[], ModelStore]) -> None:
        store = open()
        assert (store.checkpoint, store.digest, store.changed()) == (0, b"", 0)
        assert self.now(store) == {}

    def test_a_batch_and_its_checkpoint_are_seen_together(self, open: Callable[[], ModelStore]) -> None:
        store = open()
        self.apply(store, 3, b"digest", a=1, b=2)
        assert (store.checkpoint, store.digest) == (3, b"digest")
        with self.pinned(store) as snapshot:
            assert snapshot.checkpoint == 3
            assert self.rows(snapshot.target) == {"a": 1, "b": 2}

    def test_a_batch_without_a_row_moves_the_checkpoint(self, open: Callable[[], ModelStore]) -> None:
        store = open()
        self.apply(store, 1, a=1)
        self.apply(store, 9, b"later")
        assert (store.checkpoint, store.digest) == (9, b"later")
        assert self.now(store) == {"a": 1}

    def test_what_was_committed_is_there_after_closing_and_opening(
        self, open: Callable[[], ModelStore]
    ) -> None:
        store = open()
        self.apply(store, 3, b"three", a=1, b=2)
        self.apply(store, 4, b"four", a=5)
        store.close()
        store.close()
        again = open()
        assert (again.checkpoint, again.digest) == (4, b"four")
        assert self.now(again) == {"a": 5, "b": 2}
        assert again.size_bytes() > 0

    def test_a_process_that_ends_without_closing_leaves_rows_and_checkpoint_that_agree(
        self, open: Callable[[], ModelStore]
    ) -> None:
        store = open()
        for position in range(1, 20):
            self.apply(store, position, last=position)
        left = open()
        assert self.now(left) == ({"last": left.checkpoint} if left.checkpoint else {})

    def test_after_an_aborted_batch_the_store_goes_on_from_its_checkpoint(
        self, open: Callable[[], ModelStore]
    ) -> None:
        store = open()
        history = {position: {f"row-{position % 3}": position} for position in range(1, 8)}
        for failing in (4, 6, None):
            for position in range(store.checkpoint + 1, 8):
                if position == failing:
                    self.put(store.begin(), "half", 1)
                    store.abort()
                    break
                self.apply(store, position, **history[position])
        assert store.checkpoint == 7
        assert self.now(store) == {"row-0": 6, "row-1": 7, "row-2": 5}
        store.abort()  # without a batch it does nothing
        assert store.checkpoint == 7

    def test_what_a_projection_kept_of_a_batch_that_is_over_changes_nothing(
        self, open: Callable[[], ModelStore]
    ) -> None:
        store = open()
        kept = self.apply(store, 1, a=1)
        with suppress(Exception):  # it may be refused
            self.put(kept, "a", 2)
        assert self.now(store) == {"a": 1}

    def test_changed_is_no_earlier_than_the_last_change_and_no_later_than_the_checkpoint(
        self, open: Callable[[], ModelStore]
    ) -> None:
        store = open()
        self.apply(store, 2, a=1)
        self.apply(store, 5)
        assert 2 <= store.changed() <= 5
        with self.pinned(store) as snapshot:
            self.apply(store, 6, a=2)
            assert 2 <= snapshot.changed() <= 5
        assert store.changed() == 6

    # -- snapshots -------------------------------------------------------------------------------------------
    def test_a_snapshot_stays_at_its_position_while_batches_are_committed(
        self, open: Callable[[], ModelStore]
    ) -> None:
        store = open()
        self.apply(store, 1, a=1)
        with self.pinned(store) as snapshot:
            target = snapshot.target
            self.apply(store, 2, a=2, b=2)
            assert snapshot.checkpoint == 1
            assert self.rows(target) == {"a": 1}
        assert self.now(store) == {"a": 2, "b": 2}

    def test_a_snapshot_that_is_closed_says_so_in_the_words_asked_for(
        self, open: Callable[[], ModelStore]
    ) -> None:
        store = open()
        self.apply(store, 1, a=1)
        with self.pinned(store) as snapshot:
            target = snapshot.target
        snapshot.close()
        assert snapshot.checkpoint == 1
        for read in (lambda: snapshot.target, lambda: self.rows(target)):
            with pytest.raises(Expired):
                read()

    def test_readers_never_see_half_a_batch_nor_go_back(self, open: Callable[[], ModelStore]) -> None:
        store = open()
        self.apply(store, 1, a=1, b=1)
        over = threading.Event()

        def read() -> None:
            seen = 0
            while not over.is_set():
                with self.pinned(store) as snapshot:
                    rows = self.rows(snapshot.target)
                    assert rows == {"a": snapshot.checkpoint, "b": snapshot.checkpoint}
                    assert snapshot.checkpoint >= seen
                    seen = snapshot.checkpoint

        with Threads() as threads:
            for _ in range(2):
                threads.start(read)
            for position in range(2, 60):
                self.apply(store, position, a=position, b=position)
            over.set()

    def test_the_same_events_in_other_batches_give_the_same_dump(
        self, open: Callable[[], ModelStore], tmp_path: Path
    ) -> None:
        one, other = open(), self.engine.open(tmp_path / "numbers@1.abc.2", self.schema, Codec())
        try:
            self.apply(one, 1, a=1)
            self.apply(one, 2, b=2)
            self.apply(other, 2, a=1, b=2)
            assert one.dump() == other.dump()
            assert all(isinstance(row, dict) for rows in one.dump().values() for row in rows)
        finally:
            other.close()

    # -- ending ----------------------------------------------------------------------------------------------
    def test_closing_ends_all_snapshots_and_what_comes_later_is_told(
        self, open: Callable[[], ModelStore]
    ) -> None:
        store = open()
        self.apply(store, 1, a=1)
        with self.pinned(store) as snapshot:
            store.close()
            with pytest.raises(Expired):
                self.rows(snapshot.target)
        for use in (store.begin, store.snapshot):
            with pytest.raises(StoreClosed):
                use()

    def test_without_its_code_a_build_can_be_read_and_not_changed(
        self, open: Callable[[], ModelStore], directory: Path
    ) -> None:
        store = open()
        self.apply(store, 1, a=1)
        store.close()
        frozen = self.engine.open(directory, None, Codec())
        try:
            assert frozen.checkpoint == 1
            with self.pinned(frozen) as snapshot:
                assert snapshot.target is not None
            with pytest.raises(StorageError):
                frozen.begin()
        finally:
            frozen.close()

    def test_a_deleted_store_leaves_nothing(self, open: Callable[[], ModelStore], directory: Path) -> None:
        store = open()
        self.apply(store, 1, a=1)
        store.close()
        for _ in range(2):
            self.engine.delete(directory)
            assert not directory.exists()
        assert open().checkpoint == 0

    @pytest.mark.parametrize(
        "damage", [lambda data: b"", lambda data: b"\x93" * len(data), lambda data: data[:-7]]
    )
    def test_damaged_files_are_told_or_begin_anew_and_are_never_believed(
        self, open: Callable[[], ModelStore], directory: Path, damage: Callable[[bytes], bytes]
    ) -> None:
        store = open()
        self.apply(store, 1, a=1)
        store.close()
        for file in directory.iterdir():
            file.write_bytes(damage(file.read_bytes()))
        try:
            again = open()
            assert (again.checkpoint, self.now(again)) == (0, {})
        except DamagedStore:
            self.engine.delete(directory)
            assert open().checkpoint == 0

    def test_an_abandoned_snapshot_is_of_no_use(self, open: Callable[[], ModelStore]) -> None:
        store = open()
        self.apply(store, 1, a=1)
        with self.pinned(store) as snapshot:
            snapshot.abandon()
            with pytest.raises(OnewriterError):
                self.rows(snapshot.target)
