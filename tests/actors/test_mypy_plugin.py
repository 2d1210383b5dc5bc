"""What mypy sees of a domain's classes with the plugin."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.typing.mypy_cache import ROOT, mypy_cache

api = pytest.importorskip("mypy.api")

BASE = """
from types import SimpleNamespace
from actors import Domain

clinic = Domain("clinic")
process = clinic.process_manager("process", start="now")
inside = SimpleNamespace(clinic=clinic)

class Registry:
    def state(self, cls: type) -> type:
        return cls

registry: Registry = Registry()
"""

ELSEWHERE = """
import base

@base.clinic.state(stream="room-{room}")
class Room:
    room: int

@base.process.timer
class Late:
    room: int

@base.inside.clinic.value
class Bed:
    number: int

@base.registry.state
class Plain:
    number: int

Room("1")
Late()
Bed(1).number = 2
Plain(1)
Plain().number = 2
"""

PROGRAM = """
from dataclasses import replace
from enum import Enum
from actors import Domain

shop = Domain("shop")

@shop.value
class Size(Enum):
    SMALL = 1

@shop.state(stream="product-{sku}")
class Product:
    sku: str
    price: int = 0

@shop.event(Product)
class Repriced:
    sku: str
    price: int

good = replace(Product("lamp", 1999), price=Repriced(sku="lamp", price=1).price), Size.SMALL
Product("lamp", "dear")
Repriced("lamp")
Product("lamp").price = 5
"""


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """mypy's lines about a program, each from its line number on."""
    monkeypatch.setenv("MYPYPATH", f"{ROOT}:{tmp_path}")
    # The same text at the same place would come from the cache, were it not new each time.
    new = map("# {}\n".format, iter(uuid4, None))
    (tmp_path / "base.py").write_text(BASE + next(new))

    def run(program: str) -> list[str]:
        (tmp_path / "program.py").write_text(program + next(new))
        limit = sys.getrecursionlimit()
        with mypy_cache() as cache:
            out, errors, _ = api.run(
                ["--config-file", f"{ROOT}/setup.cfg", "--cache-dir", str(cache), f"{tmp_path}/program.py"]
            )
        sys.setrecursionlimit(limit)  # mypy raises it for the whole process.
        assert not errors
        return [line.partition("program.py:")[2] for line in out.splitlines() if "program.py:" in line]

    return run


def test_a_domain_in_another_module_is_one_too_and_no_other_object_is(check):
    found = [
        '20: error: Argument 1 to "Room" has incompatible type "str"; expected "int"  [arg-type]',
        '21: error: Missing positional argument "room" in call to "Late"  [call-arg]',
        '22: error: Property "number" defined in "Bed" is read-only  [misc]',
        '23: error: Too many arguments for "Plain"  [call-arg]',
    ]
    assert check(ELSEWHERE) == found
    # The module of the domain comes from mypy's cache now.
    assert check(ELSEWHERE + "\n") == found


def test_mypy_checks_the_fields_of_decorated_classes(check):
    assert check(PROGRAM) == [
        '23: error: Argument 2 to "Product" has incompatible type "str"; expected "int"  [arg-type]',
        '24: error: Missing positional argument "price" in call to "Repriced"  [call-arg]',
        '25: error: Property "price" defined in "Product" is read-only  [misc]',
    ]
