"""How results look."""

from __future__ import annotations

import io
import sqlite3
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from actors import Rejected
from actors.cli.errors import describe
from actors.demo.shop import OrderLine, OrderStatus, shop
from actors.repl.render import PlainOutput, RichOutput, printable
from actors.repl.table import Table
from actors.repl.tables import rows_table
from actors.repl.vocabulary import Vocabulary

vocabulary = Vocabulary(shop)


def plain(result: Any) -> list[str]:
    table = rows_table(result, vocabulary)
    assert table is not None
    out = io.StringIO()
    PlainOutput(out, out).show([table], {})
    return out.getvalue().splitlines()


def test_rows_of_dicts_are_a_table_with_figures_to_the_right() -> None:
    assert plain([{"sku": "a", "price": 5}, {"sku": "bcd", "price": 1999, "more": None}]) == [
        "sku  price  more",
        "---  -----  ----",
        "a        5",
        "bcd   1999  none",
    ]


def test_rows_of_sqlite_are_shown_as_dicts_are() -> None:
    db = sqlite3.connect(":memory:")
    db.row_factory = sqlite3.Row
    rows = db.execute("SELECT 'a' AS sku, 5 AS price UNION SELECT 'bcd', 1999 ORDER BY price").fetchall()
    db.close()
    assert plain(rows) == ["sku  price", "---  -----", "a        5", "bcd   1999"]
    assert plain(rows[0]) == ["field  value", "-----  -----", "sku    a", "price  5"]


def test_one_row_is_shown_field_by_field() -> None:
    row = {
        "status": OrderStatus.PLACED,
        "day": date(2024, 5, 1),
        "took": timedelta(seconds=90),
        "price": Decimal("1.50"),
        "lines": (OrderLine("lamp", 2),),
        "huge": 10**5000,
    }
    shown = dict(line.split(maxsplit=1) for line in plain(row)[2:])
    assert shown.pop("huge").startswith("0x")
    assert shown == {
        "status": "PLACED",
        "day": "2024-05-01",
        "took": "90s",
        "price": "1.50",
        "lines": '(OrderLine(sku="lamp", quantity=2))',
    }
    assert plain(OrderLine("lamp", 2))[2:] == ["sku       lamp", "quantity  2"]


def test_plain_values_are_one_column() -> None:
    assert plain(["a", 5]) == ["value", "-----", "a", "5"]


@pytest.mark.parametrize("result", [[], {}, (), 5, "text", None])
def test_what_has_no_rows_is_no_table(result: Any) -> None:
    assert rows_table(result, vocabulary) is None


def test_text_can_not_move_the_cursor() -> None:
    assert printable("a\x1b[2Jb\r\n\x07") == "a\\x1b[2Jb\\r\\n\\x07"
    assert printable("Öl 油") == "Öl 油"
    assert plain([{"name": "\x1b]0;x\x07"}])[2] == "\\x1b]0;x\\x07"


def test_rich_shows_markup_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    output = RichOutput()
    table = Table(("[bold]column",), (("[red]cell \x1b[2J",),), title="[title]")
    output.show([table, "[say]"], {})
    output.error("[error]")
    shown = capsys.readouterr().out
    for text in ("[bold]column", "[red]cell \\x1b[2J", "[title]", "[say]", "[error]"):
        assert text in shown


def test_an_error_is_one_line_with_class_code_and_text() -> None:
    assert describe(Rejected("not\n  so", code="no.way")) == "Rejected [no.way]: not so"
    assert describe(KeyError("x")) == "KeyError: 'x'"
    assert describe(ValueError()) == "ValueError"
