"""The architecture: what may import what. Read `LAYERS` from the top: each layer knows those below it, and no
other.
"""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = [
    ["actors.__main__"],  # the command line
    ["actors.demo"],
    ["actors.repl"],
    ["actors.testing"],  # what users' tests are written with
    ["actors.cli"],
    ["actors"],  # the public names
    ["actors.tenants"],  # many stores in one process
    ["actors.system"],  # what a user holds: System, Session, Watch
    # copying a store through a function; restoring one; closing streams and archives
    ["actors.migration", "actors.backup", "actors.retention"],
    ["actors.runtime"],  # a running system: its parts, its actors, its health
    ["actors.process_managers", "actors.subscriptions", "actors.worker_processes"],
    ["actors.writer", "actors.queries"],  # CommandHandler; QueryActor
    ["actors.replication"],  # Sync, ReadReplica
    ["actors.schema"],  # what a store knows of the classes that filled it
    ["actors.domain"],  # declaring a domain, and compiling it
    ["actors.kernel"],  # what all actors are built on: mailbox, reply, Supervisor
    ["actors.receipt", "actors.errors", "actors.health", "actors.settings", "actors.mypy_plugin"],
    ["actors.timeouts", "actors._import_check"],
    ["storage"],  # usable alone
    ["storage.backup"],  # backups, and stores made of them
    ["storage.transfer"],  # export and import
    ["storage.replica"],  # a replica: builds in all engines at one checkpoint
    ["storage.engines"],  # SQLite, memory
    ["storage.log"],  # the events
    ["storage.archive"],  # files of events that were moved out of the log
    ["storage.tables"],  # rows and indexes in LMDB
    ["storage.crypto"],  # keys of personal fields
    ["storage.codec"],
    ["storage.files"],
    ["storage.value_text", "storage.limits", "storage.lazy_names"],
    ["storage.errors"],
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def modules() -> dict[str, Path]:
    """Every module of both packages, by its dotted name."""
    files = [file for package in ("actors", "storage") for file in sorted((ROOT / package).rglob("*.py"))]
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for file in files
    }


def imports() -> dict[str, set[str]]:
    """What each module imports of them, wherever it does, and for type checkers alone, too."""
    files = modules()
    found: dict[str, set[str]] = {}
    for name, file in files.items():
        found[name] = wanted = set()
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name} imports relatively"
                named = (f"{node.module}.{one.name}" for one in node.names)
                wanted.update(one if one in files else str(node.module) for one in named)
            elif isinstance(node, ast.Import):
                wanted.update(one.name for one in node.names)
        wanted &= files.keys() - {name}
    return found


def room(module: str) -> str:
    """The name in `LAYERS` that the module belongs to."""
    while module not in RANK:
        module = module.rpartition(".")[0]
    return module


def test_every_folder_has_a_layer() -> None:
    loose = {name for name in modules() if room(name) in ("actors", "storage")}
    assert loose == {"actors", "storage"}


def test_nothing_imports_in_a_circle() -> None:
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        pytest.fail("a circle: " + ", which is imported by ".join(error.args[1]))


def test_nothing_imports_from_a_layer_above_it_or_beside_it() -> None:
    upward = [
        f"{module} imports {other}"
        for module, others in imports().items()
        for other in sorted(others)
        if room(module) != room(other) and RANK[room(other)] <= RANK[room(module)]
    ]
    assert upward == []


def test_the_layers_are_all_in_use() -> None:
    assert {room(name) for name in modules()} == RANK.keys()
