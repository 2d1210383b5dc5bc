"""Two schemas side by side: what is named once, by its cause."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from actors import Domain
from actors.schema.comparison import compare
from actors.schema.describing import code_of
from actors.schema.opening import Code


def code(*, value: str = "Money", enum: str = "Size", event: str = "Priced", formerly: Any = ()) -> Code:
    shop = Domain("shop")
    Size = shop.enum(name=enum)(Enum("Size", {"S": 1, "L": 2}))
    Money = shop.value(name=value)(type("Money", (), {"__annotations__": {"cents": int}}))
    fields = {"prices": list[Money], "size": Size | None}  # type: ignore[valid-type]
    Priced = shop.event(state=None, name=event, formerly=formerly)(
        type("Priced", (), {"__annotations__": fields})
    )
    prices = shop.read_model("prices")
    table = prices.table("prices", key="size")

    @prices.on(Priced)
    def priced(event: Any, tables: Any) -> None:
        tables[table].put({"size": event.size.name})

    return code_of(shop.declarations, shop.compile())


@pytest.mark.parametrize(
    ("changed", "advice"),
    [
        (
            code(value="Sum"),
            "value Money: if it is Sum now, declare that with formerly='Money' or name='Money'",
        ),
        (
            code(enum="Width"),
            "enum Size: if it is Width now, declare that with formerly='Size' or name='Size'",
        ),
    ],
)
def test_a_renamed_class_is_no_mismatch_of_the_fields_that_have_it(changed: Code, advice: str) -> None:
    found = compare(code().schema, changed.schema, {}).mismatches
    assert [f"{one.title}: {one.advice}" for one in found] == [advice]


def test_a_class_that_gave_way_to_another_one_is_a_mismatch_of_its_fields_too() -> None:
    old, new = code().schema, code(value="Sum").schema
    types = {**new.types, "Sum": old.types["Size"]}  # an enum: nothing is like the value
    found = compare(old, type(new)(new.domain, types, new.models, new.managers), {}).mismatches
    assert {one.name for one in found} == {"Money", "Priced"}


def test_a_renamed_event_is_no_change_of_the_projections_that_handle_it() -> None:
    models = [
        one.schema.models["prices"]
        for one in (code(), code(event="PriceSet", formerly="Priced"), code(event="PriceSet"))
    ]
    assert models[0] == models[1] != models[2]
