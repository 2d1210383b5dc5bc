"""What a replica says of itself after one commit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from storage.errors import InvalidSchema
from storage.replica.builds import Build, checkpoint_key
from storage.replica.commit_state import CommitState, OpenBuild
from storage.tables.schema import ModelSchema, ObjectSchema, TableSchema

PLANTS = TableSchema("plants", key="name")
POTS = TableSchema("pots", key="size")
GARDEN = ModelSchema("garden", 3, (PLANTS, POTS))


def of_tables(schema: ModelSchema = GARDEN) -> OpenBuild:
    """A build in LMDB, with stand-ins for its tables."""
    handles: Any = {table: object() for table in schema.tables}
    return OpenBuild(Build.of(schema, 2), handles)


def moment(build: OpenBuild, checkpoint: int = 9, since: int = 4, **changed: int) -> CommitState:
    return CommitState(5, {build.build.model: build}, {build.key: (checkpoint, since, changed)})


def test_a_build_is_known_by_its_key_and_has_its_tables_by_name() -> None:
    build = of_tables()
    assert build.key == build.build.key
    assert build.checkpoint_key == checkpoint_key(build.key)
    assert build.by_name == {"plants": build.tables[PLANTS], "pots": build.tables[POTS]}


def test_a_build_in_lmdb_is_where_it_was_opened_and_nothing_has_changed_since() -> None:
    assert of_tables().mark(7) == (7, 7, {})


def test_the_store_of_another_engine_says_itself_where_it_is_and_what_changed() -> None:
    schema = ModelSchema(
        "sums", 1, (), engine="memory", objects=(ObjectSchema("total", int), ObjectSchema("count", int))
    )
    changes = {"": 8, "total": 8, "count": 3}
    store: Any = SimpleNamespace(checkpoint=11, changed=changes.__getitem__)
    build = OpenBuild(Build.of(schema, 1), {}, store)
    assert build.mark(7) == (11, 8, changes)


def test_a_model_has_the_checkpoint_version_and_build_of_its_active_build() -> None:
    build = of_tables()
    state = moment(build)
    assert (state.txn_id, state.checkpoint("garden"), state.version("garden")) == (5, 9, 3)
    assert state.build("garden") == build.key
    assert state.opened("garden") is build
    assert state.table("garden", POTS) is build.tables[POTS]


def test_a_table_changed_when_it_is_noted_or_else_when_its_build_was_opened() -> None:
    state = moment(of_tables(), plants=8)
    assert state.changed("garden", "plants") == 8
    assert state.changed("garden", "pots") == state.changed("garden") == 4


def test_a_table_is_found_by_its_name_whatever_else_its_schema_says() -> None:
    build = of_tables()
    assert moment(build).table("garden", TableSchema("plants", key="size")) is build.tables[PLANTS]


@pytest.mark.parametrize("name", ["gardens", "", 7, None, []])
def test_a_model_that_the_replica_has_not_is_an_error_that_names_those_it_has(name: Any) -> None:
    state = moment(of_tables())
    for ask in (state.checkpoint, state.changed, state.version, state.build, state.opened):
        with pytest.raises(InvalidSchema, match=r"the replica has no read model .*; it has: garden"):
            ask(name)
    with pytest.raises(InvalidSchema, match="has no read model"):
        state.table(name, PLANTS)
    with pytest.raises(InvalidSchema, match="it has: none"):
        CommitState(1, {}, {}).checkpoint(name)


@pytest.mark.parametrize("schema", [TableSchema("weeds", key="name"), "plants", None, []])
def test_a_table_that_the_build_has_not_is_an_error_that_names_those_it_has(schema: Any) -> None:
    with pytest.raises(
        InvalidSchema, match=r"read model 'garden', version 3, has no table .*; it has: plants, pots"
    ):
        moment(of_tables()).table("garden", schema)
    empty = of_tables(ModelSchema("garden", 1, ()))
    with pytest.raises(InvalidSchema, match="it has: none"):
        moment(empty).table("garden", schema)
