"""What mypy sees of a domain's classes with the plugin."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

api = pytest.importorskip("mypy.api")

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
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """mypy's lines about PROGRAM, each from its line number on."""
    monkeypatch.setenv("MYPYPATH", str(Path(__file__).parents[2]))
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "mypy.ini").write_text("[mypy]\nplugins = actors.mypy_plugin\nfollow_imports = silent\n")
    limit = sys.getrecursionlimit()
    out, errors, _ = api.run(
        [
            "--config-file",
            f"{tmp_path}/mypy.ini",
            "--cache-dir",
            f"{tmp_path}/cache",
            f"{tmp_path}/program.py",
        ]
    )
    sys.setrecursionlimit(limit)  # mypy raises it for the whole process.
    assert not errors
    return [line.partition("program.py:")[2] for line in out.splitlines() if "program.py:" in line]


def test_mypy_checks_the_fields_of_decorated_classes(checked):
    assert checked == [
        '23: error: Argument 2 to "Product" has incompatible type "str"; expected "int"  [arg-type]',
        '24: error: Missing positional argument "price" in call to "Repriced"  [call-arg]',
        '25: error: Property "price" defined in "Product" is read-only  [misc]',
    ]
