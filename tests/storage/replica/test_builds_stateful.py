"""Builds against a model: filled, switched, rebuilt, dropped and opened again with any code, in any order."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from storage.codec.codec import Codec
from storage.errors import InvalidSchema, SnapshotClosed
from storage.replica.replica_store import ReplicaStore, Snapshot
from storage.tables.schema import ModelSchema, TableSchema
from tests.helpers import quick_folder

VERSIONS = (1, 2, 3)
TABLES = {version: TableSchema("rows", "id", ["number"]) for version in VERSIONS}
CODE = {version: ModelSchema("model", version, (TABLES[version],)) for version in VERSIONS}
OTHER = ModelSchema("other", 1, (TableSchema("rows", "id"),))


@dataclass
class Expected:
    """What a build should contain."""

    version: int
    checkpoint: int = 0
    changed: int = 0
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)

    def copy(self) -> Expected:
        return Expected(self.version, self.checkpoint, self.changed, dict(self.rows))


class Builds(RuleBasedStateMachine):
    """One model of three versions; a second model shares the replica and is never changed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = quick_folder()
        self.head = 0
        self.builds: dict[str, Expected] = {}
        self.snapshots: list[tuple[Snapshot, Expected]] = []

    @initialize(declared=st.sets(st.sampled_from(VERSIONS), min_size=1))
    def begin(self, declared: set[int]) -> None:
        self.open(declared)

    def open(self, declared: set[int]) -> None:
        models = [*(CODE[version] for version in declared), OTHER]
        self.declared = declared
        self.store = ReplicaStore.open(
            Path(self.folder.name) / "replica",
            models,
            Codec(),
            history_id="h",
            log_head=self.head,
            map_size=1 << 26,
        )
        assert self.store.reset_reason is None
        self.active, self.wanted = self.store.active("model").key, self.store.wanted("model").key
        for key in {self.active, self.wanted} - self.builds.keys():
            self.builds[key] = Expected(self.newest)

    @property
    def newest(self) -> int:
        return max(self.declared)

    # -- steps -----------------------------------------------------------------------------------------------
    @rule(wanted=st.booleans(), number=st.integers(0, 3), delete=st.booleans(), moves=st.booleans())
    def apply(self, wanted: bool, number: int, delete: bool, moves: bool) -> None:
        key = self.wanted if wanted else self.active
        expected = self.builds[key]
        if expected.version not in self.declared:
            return
        position = expected.checkpoint + 1
        self.head = max(self.head, position)
        with self.store.write() as transaction:
            table = transaction.target(key)[TABLES[expected.version]]
            if moves:
                pass
            elif delete:
                if table.delete(number):
                    expected.changed = position
                    del expected.rows[number]
            else:
                expected.rows[number] = {"id": number, "number": position, "version": expected.version}
                table.put(expected.rows[number])
                expected.changed = position
            transaction.set_checkpoint(key, position)
        expected.checkpoint = position

    @rule()
    def apply_to_what_is_frozen(self) -> None:
        if self.builds[self.active].version not in self.declared:
            try:
                with self.store.write() as transaction:
                    transaction.target(self.active)
            except InvalidSchema:
                return
            raise AssertionError("a frozen build was written")

    @rule()
    def activate(self) -> None:
        self.store.activate(self.wanted)
        if self.active != self.wanted:
            del self.builds[self.active]
            self.active = self.wanted

    @rule()
    def rebuild(self) -> None:
        if self.store._builds._spare < 2:
            return
        build = self.store.start_build("model")
        assert build.version == self.newest
        assert build.key not in self.builds
        if self.wanted != self.active:
            del self.builds[self.wanted]
        self.wanted = build.key
        self.builds[build.key] = Expected(self.newest)

    @rule(declared=st.sets(st.sampled_from(VERSIONS), min_size=1))
    def open_again(self, declared: set[int]) -> None:
        self.store.close()
        before, former = self.builds, self.active
        generations = [int(key.rpartition(".")[2]) for key in before]
        self.snapshots.clear()
        empty = before[former].checkpoint == 0
        fitting = [key for key in before if before[key].version == max(declared)]
        self.builds = {}
        self.open(declared)
        if fitting:
            assert self.wanted == max(fitting, key=lambda key: int(key.rpartition(".")[2]))
        else:
            assert int(self.wanted.rpartition(".")[2]) == max(generations) + 1
        assert self.active == (self.wanted if empty else former)
        for key in self.builds:
            if key in before:
                self.builds[key] = before[key].copy()
                self.builds[key].changed = before[key].checkpoint

    @rule()
    def snapshot(self) -> None:
        self.snapshots.append((self.store.snapshot(), self.builds[self.active].copy()))

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def close_snapshot(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.snapshots) - 1))
        snapshot, _ = self.snapshots.pop(index)
        snapshot.close()
        try:
            snapshot.checkpoint("model")
        except SnapshotClosed:
            return
        raise AssertionError("a closed snapshot was read")

    # -- what holds all the time -----------------------------------------------------------------------------
    @invariant()
    def every_open_snapshot_shows_its_moment(self) -> None:
        for snapshot, expected in self.snapshots:
            check(snapshot, expected)
        with self.store.snapshot() as snapshot:
            check(snapshot, self.builds[self.active])

    @invariant()
    def all_builds_hold_what_was_applied_to_them(self) -> None:
        store = self.store
        checkpoints = {key: expected.checkpoint for key, expected in self.builds.items()}
        assert store.build_checkpoints() == {**checkpoints, store.active("other").key: 0}
        assert store.checkpoints() == {"model": self.builds[self.active].checkpoint, "other": 0}
        assert (store.active("model").key, store.wanted("model").key) == (self.active, self.wanted)
        for build in store.builds():
            if build.model == "model":
                expected = self.builds[build.key]
                assert build.version == expected.version
                assert (build.schema is not None) == (expected.version in self.declared)
                assert store.dump(build.key) == {"rows": [row for _, row in sorted(expected.rows.items())]}

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        self.folder.cleanup()


def check(snapshot: Snapshot, expected: Expected) -> None:
    assert snapshot.version("model") == expected.version
    assert snapshot.checkpoint("model") == expected.checkpoint
    assert snapshot.changed("model", "rows") == snapshot.changed("model") == expected.changed
    rows = snapshot.table("model", TABLES[max(VERSIONS)])
    found = list(rows.range("number"))
    assert found == sorted(expected.rows.values(), key=lambda row: (row["number"], row["id"]))


TestBuilds = Builds.TestCase
