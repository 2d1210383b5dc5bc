"""The public names of both packages are imported when they are first used, and are what type checkers see."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import actors
import storage

ROOT = Path(__file__).parents[1]
PACKAGES = pytest.mark.parametrize("package", [actors, storage], ids=lambda package: package.__name__)


def said_twice(package: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The names by module, as type checkers see them and as they are imported."""
    tree = ast.parse((ROOT / package / "__init__.py").read_bytes())
    [block] = [one for one in tree.body if isinstance(one, ast.If)]
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    seen = {
        str(one.module): [name.name for name in one.names]
        for one in block.body
        if isinstance(one, ast.ImportFrom)
    }
    [table] = [one for one in ast.walk(block.orelse[0]) if isinstance(one, ast.Dict)]
    return seen, ast.literal_eval(table)


@PACKAGES
def test_type_checkers_see_what_is_imported(package: object) -> None:
    seen, imported = said_twice(package.__name__)  # type: ignore[attr-defined]
    assert seen == imported


@PACKAGES
def test_every_public_name_is_there_and_is_that_of_its_module(package: object) -> None:
    _, imported = said_twice(package.__name__)  # type: ignore[attr-defined]
    for module, names in imported.items():
        for name in names:
            assert getattr(package, name) is getattr(import_module(module), name)
    for name in package.__all__:  # type: ignore[attr-defined]
        assert hasattr(package, name)
        assert name in dir(package)


@PACKAGES
def test_any_other_name_is_an_error_that_names_the_package(package: object) -> None:
    with pytest.raises(AttributeError, match=rf"module '{package.__name__}' has no attribute 'nothing'"):  # type: ignore[attr-defined]
        package.nothing  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("imported", "not_needed"),
    [
        ("import actors", ["lmdb", "pykka", "asyncio", "sqlite3", "actors.domain.domain"]),
        ("from actors import Domain, Rejected", ["actors.system.system", "actors.writer", "asyncio"]),
        ("from actors import System", ["asyncio", "ssl", "subprocess", "socket"]),
        (
            "from actors import System",
            [
                "actors.process_managers.registry",
                "actors.process_managers.leftovers",
                "actors.subscriptions.consumer",
                "actors.subscriptions.subscription",
                "actors.system.watch",
                "actors.runtime.live_compaction",
                "actors.runtime.store_info",
                "storage.engines.sqlite",
            ],
        ),
        (
            "import actors.worker_processes.child.main",
            ["asyncio", "storage.engines.sqlite", "actors.health", "actors.runtime", "actors.writer"],
        ),
        ("import actors.__main__", ["lmdb", "pykka", "asyncio", "actors.system.system"]),
        ("import actors.cli.verify", ["pykka", "actors.replication.replica_slot"]),
    ],
)
def test_what_is_not_needed_yet_is_not_imported(imported: str, not_needed: list[str]) -> None:
    program = f"import sys\n{imported}\nprint([one for one in {not_needed} if one in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True) == "[]\n"


def test_a_first_use_without_a_free_descriptor_says_which_limit_and_works_later(store_path: Path) -> None:
    program = f"""
import os, resource
from actors import Domain, LimitReached, System
resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
with System.open({str(store_path)!r}, Domain("empty"), replicas=1) as system:
    uses = [
        lambda: system.consume("bell", print).close(),
        lambda: system.consumer("book").close(),
        lambda: list(system.subscribe(until=0)),
    ]
    held = []
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    for use in uses:
        try:
            use()
        except LimitReached as error:
            print("ulimit -n" in str(error), error)
    for one in held:
        os.close(one)
    for use in uses:
        use()
"""
    said = subprocess.check_output([sys.executable, "-W", "error", "-c", program], cwd=ROOT, text=True)
    assert [line.partition(" ")[0] for line in said.splitlines()] == ["True"] * 3, said
