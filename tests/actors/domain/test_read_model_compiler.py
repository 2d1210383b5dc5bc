"""Declaring read models: engines, placement, several versions of one, and mistakes with their locations."""

from __future__ import annotations

from typing import Any

import pytest

from actors import Domain
from actors.domain.lookup import checked_model
from actors.errors import DomainError, UnknownMessage
from storage.tables.schema import ModelSchema, ObjectSchema

SCRIPT = "CREATE TABLE texts (id INTEGER PRIMARY KEY)"


@pytest.fixture
def domain() -> Domain:
    domain = Domain("things")

    @domain.event(state=None, stream="thing-{id}")
    class Happened:
        id: str

    return domain


def event(domain: Domain) -> type:
    return domain.declarations.classes[0].cls


def mistakes(domain: Domain) -> list[str]:
    with pytest.raises(DomainError) as caught:
        domain.compile()
    assert all(f"{__file__}:" in problem for problem in caught.value.problems)
    return [problem.split(": ", 1)[1] for problem in caught.value.problems]


# -- engines ---------------------------------------------------------
def test_each_engine_is_described_by_its_schema(domain: Domain) -> None:
    tables = domain.read_model("tables", 3)
    rows = tables.table("rows", key="id")
    texts = domain.read_model("texts", engine="sqlite", schema=SCRIPT)
    sums = domain.read_model("sums", engine="memory")
    totals = sums.object("totals", dict)
    domain.compile()
    assert tables.schema == ModelSchema("tables", 3, (rows,))
    assert texts.schema == ModelSchema("texts", 1, engine="sqlite", script=SCRIPT)
    assert sums.schema == ModelSchema("sums", 1, engine="memory", objects=(totals,))
    assert (totals.name, totals.factory) == ("totals", dict)


def test_another_engine_script_or_object_is_another_build() -> None:
    totals = ObjectSchema("totals", dict)
    schemas = [
        ModelSchema("m", 1),
        ModelSchema("m", 1, engine="memory"),
        ModelSchema("m", 1, engine="memory", objects=(totals,)),
        ModelSchema("m", 1, engine="memory", objects=(ObjectSchema("totals", list),)),
        ModelSchema("m", 1, engine="sqlite", script=SCRIPT),
        ModelSchema("m", 1, engine="sqlite", script=SCRIPT + ";"),
        ModelSchema("m", 1, code="abc"),
        ModelSchema("m", 2),
    ]
    assert len({schema.fingerprint() for schema in schemas}) == len(schemas)
    again = ModelSchema("m", 1, engine="memory", objects=(ObjectSchema("totals", dict),))
    assert again.fingerprint() == schemas[2].fingerprint()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"engine": "oracle"}, 'there is no engine \'oracle\'; engine= is one of "lmdb", "sqlite", "memory"'),
        ({"engine": ["lmdb"]}, "there is no engine ['lmdb']"),
        (
            {"engine": "sqlite"},
            'engine "sqlite" needs the SQL that makes its tables: schema="CREATE TABLE ..."',
        ),
        ({"engine": "sqlite", "schema": "  "}, 'engine "sqlite" needs the SQL'),
        (
            {"engine": "sqlite", "schema": 5},
            "schema must be the SQL that makes the tables, as one text, got 5",
        ),
        (
            {"schema": SCRIPT},
            "schema= is for engine \"sqlite\"; declare what engine 'lmdb' keeps with table(...)",
        ),
        ({"engine": "memory", "schema": SCRIPT}, "keeps with object(...)"),
        (
            {"engine": "memory", "inline": True},
            "inline=True keeps tables in the write environment, which engine 'memory'",
        ),
        ({"inline": "yes"}, "inline must be True or False, got 'yes'"),
        ({"fingerprint": 1}, "fingerprint must be True or False, got 1"),
        ({"version": "2"}, "version must be an int from 1, got '2'"),
        ({"replicas": 0}, "replicas=0 would keep it nowhere"),
        ({"replicas": -1}, "replicas=-1 would keep it nowhere"),
        ({"replicas": []}, "replicas= is an empty list, which would keep it nowhere"),
        ({"replicas": [0, 1]}, "replicas= lists the numbers of replicas, ints from 1, got [0, 1]"),
        ({"replicas": ["replica-1"]}, "ints from 1, got ['replica-1']"),
        ({"replicas": (2, 2)}, "replicas= names a replica twice: (2, 2)"),
        (
            {"replicas": "all"},
            "replicas must be how many replicas keep it, or a list of their numbers, got 'all'",
        ),
        (
            {"replicas": True},
            "replicas must be how many replicas keep it, or a list of their numbers, got True",
        ),
    ],
)
def test_an_option_that_can_not_be_is_told_with_the_place(
    domain: Domain, options: dict[str, Any], text: str
) -> None:
    domain.read_model("m", **options)
    [mistake] = mistakes(domain)
    assert mistake.startswith("read model 'm': ")
    assert text in mistake


def test_tables_and_objects_belong_to_their_engines(domain: Domain) -> None:
    domain.read_model("a").object("totals", dict)
    domain.read_model("b", engine="sqlite", schema=SCRIPT).table("rows", key="id")
    domain.read_model("c", engine="memory").table("rows", key="id")
    assert mistakes(domain) == [
        "read model 'a' is kept by engine 'lmdb', which has no object(); write engine=\"memory\"",
        "read model 'b' is kept by engine 'sqlite', which has no table(); "
        "write schema=, or leave engine= out",
        "read model 'c' is kept by engine 'memory', which has no table(); "
        "write object(...), or leave engine= out",
    ]


def test_mistakes_in_the_sql_of_a_schema_are_found_with_their_places(domain: Domain) -> None:
    domain.read_model("a", engine="sqlite", schema="CREATE TABEL rows (id)")
    domain.read_model("b", engine="sqlite", schema="CREATE TABLE rows (id); COMMIT;")
    assert mistakes(domain) == [
        "read model 'a': in its schema=, 'CREATE TABEL rows (id);': near \"TABEL\": syntax error",
        "read model 'b': its schema= may not end or begin a transaction: the engine ends the transaction, "
        "together with the checkpoint",
    ]


@pytest.mark.parametrize(
    ("name", "factory", "text"),
    [
        ("", dict, "an object's name must be a str"),
        (5, dict, "an object's name must be a str"),
        ("a/b", dict, "no '/' in it"),
        ("totals", {}, "object 'totals': its factory makes an empty one when it is called, as dict does"),
    ],
)
def test_an_object_that_can_not_be_is_refused_at_once(
    domain: Domain, name: Any, factory: Any, text: str
) -> None:
    model = domain.read_model("m", engine="memory")
    with pytest.raises(DomainError, match=rf"test_read_model_compiler\.py:\d+: read model 'm': .*{text}"):
        model.object(name, factory)


def test_two_objects_of_one_name_are_refused(domain: Domain) -> None:
    model = domain.read_model("m", engine="memory")
    model.object("totals", dict)
    model.object("totals", list)
    assert mistakes(domain) == ["read model 'm' has two objects named 'totals'"]


@pytest.mark.parametrize(
    ("replicas", "kept"),
    [
        (None, [1, 2, 3, 4]),
        (1, [1]),
        (3, [1, 2, 3]),
        (9, [1, 2, 3, 4]),
        ([2, 4], [2, 4]),
        (range(2, 4), [2, 3]),
    ],
)
def test_a_model_is_on_the_replicas_that_it_names(domain: Domain, replicas: Any, kept: list[int]) -> None:
    model = domain.read_model("m", replicas=replicas)
    domain.compile()
    assert [number for number in range(1, 5) if model.placed_on(number)] == kept


# -- several versions ---------------------------------------------------------
def test_the_highest_version_is_the_model_and_the_others_are_kept_beside_it(domain: Domain) -> None:
    first, third, second = (domain.read_model("m", version) for version in (1, 3, 2))
    other = domain.read_model("other")
    for model in (first, second, third):
        model.on(event(domain))(lambda event, tables: None)
    compiled = domain.compile()
    assert compiled.models == {"m": third, "other": other}
    assert compiled.old_models == {"m": [second, first]}
    assert all(model.handlers.keys() == {event(domain)} for model in (first, second, third))


def test_any_version_stands_for_the_model(domain: Domain) -> None:
    old, new = domain.read_model("m", 1), domain.read_model("m", 2)

    @domain.query(reads=[old, new, old])
    class Ask:
        def run(self, view: Any) -> None: ...

    compiled = domain.compile()
    assert compiled.queries[Ask].models == (new,)
    assert checked_model(old, compiled, "view") is checked_model(new, compiled, "view") is new
    for stranger in (Domain("x").read_model("m"), "m", None):
        assert compiled.newest(stranger) is None
        with pytest.raises(UnknownMessage, match="is not a read model of domain 'things'"):
            checked_model(stranger, compiled, "view")


def test_mistakes_of_an_old_version_are_told_too(domain: Domain) -> None:
    domain.read_model("m", 2)
    domain.read_model("m", 1, engine="oracle").on(lambda event: None)
    unknown, projection = mistakes(domain)
    assert "there is no engine 'oracle'" in unknown
    assert "of read model 'm' must take" in projection


def test_two_models_of_one_name_and_version_are_refused(domain: Domain) -> None:
    domain.read_model("m", 2)
    domain.read_model("m", 1)
    domain.read_model("m", 2)
    [mistake] = mistakes(domain)
    assert mistake.startswith("read model 'm': there is one at ")
    assert mistake.endswith("already; give one another version=")


# -- the fingerprint of the code ---------------------------------------------------------
def test_the_code_counts_only_where_the_user_says_so(domain: Domain) -> None:
    def described(limit: int, **options: Any) -> ModelSchema:
        other = Domain("other")

        @other.event(state=None, stream="thing-{id}")
        class Happened:
            id: str

        model = other.read_model("m", **options)

        @model.on(Happened)
        def on(event: Any, tables: Any) -> None:
            tables["x"].put({"id": event.id, "limit": limit})

        other.compile()
        return model.schema

    assert described(1).fingerprint() == described(2).fingerprint()
    assert described(1).code == ""
    assert described(1, fingerprint=True).fingerprint() == described(1, fingerprint=True).fingerprint()
    assert described(1, fingerprint=True).fingerprint() != described(2, fingerprint=True).fingerprint()
    assert described(1, fingerprint=True).fingerprint() != described(1).fingerprint()
