"""Builds: the data that one version of a read model's code has produced; which of them a replica keeps.

Of each model one build is active: snapshots read it. Another one may be wanted; it is filled next to the
active one until the replica switches. A build whose code is gone is frozen: it can be read, through the
description of its tables that is stored with it, but no more events are applied to it. Pure, any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgpack

from storage.codec.keys import KEY_FORMAT
from storage.errors import InvalidSchema
from storage.log.history import never_corrected
from storage.tables.index import Component, Each, Index, Words
from storage.tables.schema import ModelSchema, ObjectSchema, TableSchema
from storage.tables.words import WORDS_RULE

CHECKPOINT = b"checkpoint/"
ENGINE_CHECKPOINT = b"elsewhere/"

__all__ = ["Build", "Layout", "pack_build", "plan_layout", "unpack_build"]


class Build(NamedTuple):
    """One build of a model. `stored_schema` always describes its data; `schema` is None if its code is gone.

    `generation` counts all builds of the model, so no two of them ever have the same key. `reused_databases`
    are pairs for databases that were another build's and were emptied: the name that the database would have
    had, and the name that it has. `corrected` is the number of the last correction that concerned the model
    when the build was begun: later ones are of events that it may have had before.
    """

    key: str
    model: str
    version: int
    generation: int
    schema: ModelSchema | None
    stored_schema: ModelSchema
    fingerprint: str
    reused_databases: tuple[tuple[str, str], ...] = ()
    corrected: int = 0

    @classmethod
    def of(cls, schema: ModelSchema, generation: int, corrected: int = 0) -> Build:
        """A new build for this schema, which does not exist yet."""
        fingerprint = schema.fingerprint()
        key = f"{schema.name}@{schema.version}.{fingerprint[:8]}.{generation}"
        return cls(
            key, schema.name, schema.version, generation, schema, schema, fingerprint, corrected=corrected
        )

    def reusing(self, names: Sequence[str], emptied: Sequence[str]) -> Build:
        """The same build, with its databases of these names in emptied ones, as far as there are any."""
        return self._replace(reused_databases=tuple(zip(names, emptied, strict=False)))

    def with_code(self, schema: ModelSchema | None) -> Build:
        """The same build with its schema in the code, or frozen if that is None."""
        return self._replace(schema=schema, stored_schema=schema or self.stored_schema)


class Layout(NamedTuple):
    """The builds that a replica should have, by key; the keys of each model's active and wanted build."""

    builds: dict[str, Build]
    active: dict[str, str]
    wanted: dict[str, str]


def plan_layout(
    stored: Iterable[Build],
    active: Mapping[str, str],
    models: Sequence[ModelSchema],
    empty: frozenset[str],
    corrected: Callable[[str], int] = never_corrected,
) -> Layout:
    """Which builds to keep and which to create, given the stored ones, the active ones' keys, and the code.

    The newest version of each model is wanted. `empty` are the keys of builds without any event: nobody would
    miss them, so they do not stay active next to a wanted one. A build that was begun before the last
    correction of the model's events is not wanted. Raises InvalidSchema if a model is given twice.
    """
    code: dict[str, dict[int, ModelSchema]] = {}
    for schema in models:
        versions = code.setdefault(schema.name, {})
        if schema.version in versions:
            raise InvalidSchema(
                f"two read models have one name and one version: {schema.name} {schema.version}"
            )
        versions[schema.version] = schema
    layout = Layout({}, {}, {})
    stored = list(stored)
    for name, versions in code.items():
        known = {schema.fingerprint(): schema for schema in versions.values()}
        newest = versions[max(versions)]
        mine = sorted((build for build in stored if build.model == name), key=lambda build: build.generation)
        current = next((build for build in mine if build.key == active.get(name)), None)
        since = corrected(name)
        fitting = [
            build.with_code(newest)
            for build in mine
            if build.fingerprint == newest.fingerprint() and build.corrected >= since
        ]
        wanted = fitting[-1] if fitting else Build.of(newest, next_generation(mine), since)
        if current is None or current.key in empty:
            current = wanted
        elif current.key != wanted.key:
            current = current.with_code(known.get(current.fingerprint))
        layout.builds.update({current.key: current, wanted.key: wanted})
        layout.active[name] = current.key
        layout.wanted[name] = wanted.key
    return layout


def next_generation(builds: Iterable[Build]) -> int:
    """The number of a model's next build, given its present builds."""
    return max((build.generation + 1 for build in builds), default=0)


def checkpoint_key(build: str) -> bytes:
    """The key under which the checkpoint of a build in LMDB is stored."""
    return CHECKPOINT + build.encode()


def engine_checkpoint_key(build: str) -> bytes:
    """The key under which the checkpoint of another engine's build is recorded, for other processes."""
    return ENGINE_CHECKPOINT + build.encode()


# -- as stored -----------------------------------------------------------------------------------------------
def pack_build(build: Build, databases: Sequence[str]) -> bytes:
    """A build as bytes, with all that is needed to read its data without the code, and to delete them."""
    stored = build.stored_schema
    fields = {
        "model": build.model,
        "version": build.version,
        "generation": build.generation,
        "fingerprint": build.fingerprint,
        "keys": KEY_FORMAT,
        "words": _words_rule(stored),
        "databases": databases,
        "places": build.reused_databases,
        "corrected": build.corrected,
        "engine": stored.engine,
        "script": stored.script,
        "objects": [schema.name for schema in stored.objects],
        "tables": [
            [table.name, _packed(table.primary), [_packed(index) for index in table.indexes]]
            for table in stored.tables
        ],
    }
    packed: bytes = msgpack.packb(fields)
    return packed


def unpack_build(key: str, raw: bytes) -> Build | None:
    """The stored build, frozen; None if its keys have a format that is no longer read."""
    fields = msgpack.unpackb(raw)
    if fields["keys"] != KEY_FORMAT:
        return None
    rule = fields.get("words", 1)  # how its words were cut
    stored = ModelSchema(
        fields["model"],
        fields["version"],
        tuple(
            TableSchema(name, _unpacked(columns, rule), [_unpacked(spec, rule) for spec in specs])
            for name, columns, specs in fields["tables"]
        ),
        fields["engine"],
        fields["script"],
        tuple(ObjectSchema(name, dict) for name in fields["objects"]),
    )
    return Build(
        key,
        stored.name,
        stored.version,
        fields["generation"],
        None,
        stored,
        fields["fingerprint"],
        tuple((name, reused) for name, reused in fields.get("places", ())),
        fields.get("corrected", 0),
    )


def _packed(index: Index) -> Any:
    if isinstance(index.spec, tuple):
        return [_packed_component(component) for component in index.spec]
    return _packed_component(index.spec)


def _packed_component(component: Component) -> Any:
    if isinstance(component, str):
        return component
    return {"words" if isinstance(component, Words) else "each": component.column}


def _unpacked(spec: Any, rule: int) -> Any:
    if isinstance(spec, list):
        return tuple([_component(component, rule) for component in spec])
    return _component(spec, rule)


def _component(component: Any, rule: int) -> Component:
    if isinstance(component, str):
        return component
    [(kind, column)] = component.items()
    return Words(column, rule) if kind == "words" else Each(column)


def _words_rule(stored_schema: ModelSchema) -> int:
    """The rule by which the indexes of a build cut words."""
    parts = [part for table in stored_schema.tables for index in table.indexes for part in index.components]
    return min([part.rule for part in parts if isinstance(part, Words)], default=WORDS_RULE)
