"""`onewriter schema show|diff|check`: a file for the repository, and a store, against code that changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import System
from actors.__main__ import main

PROGRAM = """
from datetime import date
from enum import Enum
from actors import Domain

shop = Domain("shop")

@shop.enum
class Size(Enum):
    SMALL = 1
    {member} = 2

@shop.state(stream="product-{{sku}}")
class Product:
    sku: str

@shop.event(Product, state=None, tags="size-{{size}}")
class PriceSet:
    sku: str
    price: {price}
    size: Size
    note: str = ""
    {field}

@shop.command(Product)
class SetPrice:
    sku: str
    {parameter}

@shop.decide
def set_price(product: Product | None, command: SetPrice):
    yield PriceSet(command.sku, 1, Size.SMALL)

prices = shop.read_model("prices", {version})
table = prices.table("prices", key="sku")

@prices.on
def priced(event: PriceSet, tables):
    tables[table].put({{"sku": event.sku}})

{more}
"""

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes the program of one version, as the module `goods`."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)

    def written(**options: Any) -> None:
        given = {"member": "BIG", "price": "int", "field": "", "parameter": "", "version": 1, "more": ""}
        sys.modules.pop("goods", None)
        (tmp_path / "goods.py").write_text(PROGRAM.format(**(given | options)))

    yield written
    sys.modules.pop("goods", None)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["schema", *arguments])
    sys.modules.pop("goods", None)
    return code, capsys.readouterr().out


@pytest.fixture
def file(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    write()
    code, shown = run(capsys, "show", "goods:shop", "--json")
    assert code == 0
    (tmp_path / "schema.json").write_text(shown)
    return tmp_path / "schema.json"


def test_a_schema_is_shown_as_text_and_as_the_same_json_each_time(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = run(capsys, "show", "goods:shop")
    assert code == 0
    assert "event PriceSet, stream product-{sku}, tags size-{size}\n  sku: str\n  price: int\n" in text
    assert "  note: str = ...\n" in text
    assert "enum Size\n  SMALL, BIG\n" in text
    assert "read model prices, version 1\n" in text
    assert run(capsys, "show", "goods:shop", "--json")[1] == file.read_text()
    assert json.loads(file.read_text())["types"]["PriceSet"]["fields"]["price"] == {"type": "int"}


def test_a_difference_is_a_line(write: Write, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "diff", str(file), "goods:shop") == (0, f"domain shop stores what {file} says\n")
    write(field='remark: str = ""', price="date", parameter="who: str")
    code, text = run(capsys, "diff", str(file), "goods:shop")
    assert code == 0
    unreadable, warned, new = text.splitlines()
    assert unreadable.startswith("! ")
    assert "event PriceSet has the field 'price' as date, which was int" in unreadable
    assert warned.startswith("? command SetPrice has a new field 'who' without a default: this matters where")
    assert new == "+ event PriceSet has the field 'remark', with a default"
    lines = run(capsys, "diff", str(file), "goods:shop", "--json")[1].splitlines()
    assert [next(iter(json.loads(line))) for line in lines] == ["unreadable", "warning", "new"]


CONVERTED = """
@shop.upcast("PriceSet")
def priced_as_text(fields):
    return {**fields, "price": str(fields["price"])}
"""
MAPPED = """
@shop.upcast("Size")
def large(member):
    return {"BIG": "LARGE"}.get(member, member)
"""


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, 0),
        ({"price": "float"}, 0),
        ({"field": 'remark: str = ""'}, 0),
        ({"version": 2}, 0),
        ({"parameter": "who: str"}, 0),
        ({"field": "remark: str | None"}, 2),
        ({"price": "str"}, 1),
        ({"price": "str", "more": CONVERTED}, 0),
        ({"member": "LARGE"}, 1),
        ({"member": "LARGE", "more": MAPPED}, 0),
    ],
)
def test_a_breaking_change_passes_the_gate_only_with_an_upcaster(
    write: Write, file: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], code: int
) -> None:
    write(**change)
    found, text = run(capsys, "check", str(file), "--domain", "goods:shop")
    assert found == code
    if code < 2:
        assert text.endswith(
            f"domain shop reads what {file} stands for\n"
            if code == 0
            else f"domain shop can't read what {file} stands for: a change without an upcaster\n"
        )


@pytest.fixture
def store(write: Write, tmp_path: Path) -> Path:
    """Twenty events of the first version."""
    write()
    from goods import Size, PriceSet, shop  # type: ignore[import-not-found]  # noqa: I001

    with System.open(tmp_path / "store", shop, replicas=1) as system:
        for number in range(20):
            system.append("product-a", [PriceSet("a", number, Size.SMALL if number < 15 else Size.BIG)])
    sys.modules.pop("goods", None)
    return tmp_path / "store"


def names_and_sizes(path: Path) -> dict[str, tuple[int, int]]:
    return {
        str(one): (one.stat().st_size, one.stat().st_mtime_ns)
        for one in path.rglob("*")
        if one.is_file() and one.name != "lock.mdb"
    }


def test_every_event_of_a_store_is_read_through_the_code(
    write: Write, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = names_and_sizes(store)
    code, text = run(capsys, "check", str(store), "--domain", "goods:shop")
    assert code == 0
    assert text.startswith("PriceSet: 20 events\n20 of 20 events read, ")
    assert text.endswith(": all can be read\n")
    write(member="LARGE")
    code, text = run(capsys, "check", str(store), "--domain", "goods:shop")
    assert code == 1
    refused, counted, summary = text.splitlines()
    assert refused.startswith("! ")
    assert "enum Size has no member BIG any more; 5 stored events hold it" in refused
    assert counted.startswith(
        "PriceSet: 20 events, 5 can't be read, first at position 16: CodecError: Size has"
    )
    assert summary.endswith(": 5 of them can't be read")
    write(member="LARGE", more=MAPPED)
    assert run(capsys, "check", str(store), "--domain", "goods:shop")[0] == 0
    assert names_and_sizes(store) == before


def test_an_upcaster_that_gives_a_wrong_type_is_found_at_its_first_event(
    write: Write, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(price="str", more=CONVERTED.replace('str(fields["price"])', 'fields["price"]'))
    code, text = run(capsys, "check", str(store), "--domain", "goods:shop", "--sample", "4", "--json")
    *types, summary = map(json.loads, text.splitlines())
    assert code == 1
    [one] = types
    assert (one["type"], one["events"], one["failed"], one["first"]) == ("PriceSet", 4, 4, 1)
    assert "priced_as_text" in one["error"]
    assert (summary["events"], summary["head"], summary["failed"], summary["unreadable"]) == (4, 20, 4, 0)


def test_a_store_that_is_open_for_writing_is_checked_beside_its_writer(
    write: Write, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "writer.py"
    script.write_text(
        "import sys\n"
        "from actors import System\n"
        "from goods import shop\n"
        "with System.open(sys.argv[1], shop, replicas=1):\n"
        "    print('open', flush=True)\n"
        "    sys.stdin.readline()\n"
    )

    with subprocess.Popen(
        [sys.executable, str(script), str(store)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[3]}"},
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdin is not None
        try:
            assert writer.stdout.readline() == "open\n"
            assert run(capsys, "check", str(store), "--domain", "goods:shop")[0] == 0
        finally:
            writer.stdin.close()
    assert writer.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "goods:nothing"], "module goods has nothing as nothing"),
        (["check", "missing.json", "--domain", "goods:shop"], "missing.json cannot be read"),
        (["check", "broken.json", "--domain", "goods:shop"], "broken.json has no schema"),
        (["check", ".", "--domain", "goods:shop"], ". is not a store"),
    ],
)
def test_a_wrong_call_is_said_in_one_line(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    write()
    (tmp_path / "broken.json").write_text('{"format": 1}')
    assert main(["schema", *arguments]) == 2
    assert said.removeprefix("module ") in capsys.readouterr().err
