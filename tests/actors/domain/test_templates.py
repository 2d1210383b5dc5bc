from __future__ import annotations

from datetime import date, datetime
from enum import Enum
from types import SimpleNamespace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.domain.templates import Template
from actors.errors import InvalidMessage


class Place(Enum):
    PARIS = "paris"
    ROME = 2


def name(text, **values):
    return Template(text).of("Thing")(SimpleNamespace(**values))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("lamp", "product-lamp"),
        ("a-b%c", "product-a-b%c"),
        (7, "product-7"),
        (-7, "product--7"),
        (UUID(int=1), "product-00000000-0000-0000-0000-000000000001"),
        (Place.PARIS, "product-paris"),
        (Place.ROME, "product-2"),
        (date(2024, 2, 29), "product-2024-02-29"),
    ],
)
def test_one_value_is_written_as_it_is(value, text):
    assert name("product-{sku}", sku=value) == text


@pytest.mark.parametrize("value", ["", None, True, 1.5, b"lamp", datetime(2024, 1, 1), ("a",)])
def test_a_value_that_names_nothing_is_an_invalid_message(value):
    with pytest.raises(InvalidMessage, match=r"Thing\.sku must be a non-empty str"):
        name("product-{sku}", sku=value)
    with pytest.raises(InvalidMessage):
        name("{place}-{sku}", place="x", sku=value)


def test_a_template_without_fields_is_one_stream():
    assert name("shop") == "shop"
    assert Template("shop").bind("Shop")() == "shop"


def test_double_braces_stand_for_themselves():
    assert name("a{{b}}-{sku}", sku="x") == "a{b}-x"


def test_several_values_escape_what_separates_them():
    assert name("stock-{place}-{sku}", place="a-b", sku="c%") == "stock-a%2Db-c%25"


def test_letters_of_a_separator_stay_readable_in_values():
    assert name("order-{id}-line-{n}", id="line 1", n=2) == "order-line 1-line-2"


@pytest.mark.parametrize("text", ["{a}-{b}", "x{a}2{b}", "{a}é{b}!", "{a}-line-{b}", "{a}/{b}-{c}"])
@given(data=st.data())
def test_two_different_pairs_of_values_never_share_a_name(text, data):
    template = Template(text)
    values = st.tuples(*[st.text("ab-25DEFline/%é!", min_size=1, max_size=6)] * len(template.fields))
    one, other = data.draw(values), data.draw(values)
    assert (template.fill("T", one) == template.fill("T", other)) == (one == other)


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_moving_text_over_a_separator_changes_the_name(a, b, c):
    template = Template("{x}-{y}")
    assert template.fill("T", (f"{a}-{b}", c)) != template.fill("T", (a, f"{b}-{c}"))


@pytest.mark.parametrize(
    "text", ["{}", "{0}", "{a.b}", "{a[0]}", "{a!r}", "{a:>5}", "{a", "{a}{b}", "{a}%{b}", "{a}-{a}"]
)
def test_a_template_without_a_single_reading_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        Template(text)


def test_a_stream_is_found_by_position_and_by_name():
    stream_for = Template("stock-{place}-{sku}").bind("Stock")
    assert stream_for("paris", "lamp") == "stock-paris-lamp"
    assert stream_for("paris", sku="lamp") == "stock-paris-lamp"
    assert stream_for(sku="lamp", place="paris") == "stock-paris-lamp"


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), (("a",), {}), (("a", "b", "c"), {}), (("a", "b"), {"sku": "b"}), ((), {"x": 1})],
)
def test_a_stream_asked_for_with_other_fields_says_which_it_has(args, kwargs):
    with pytest.raises(TypeError, match=r"Stock is found by \(place, sku\)"):
        Template("stock-{place}-{sku}").bind("Stock")(*args, **kwargs)


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("product-{sku}", "product-{id}", True),
        ("order-{id}", "order-item-{id}", True),
        ("order-{id}", "orderline-{id}", False),
        ("a-{x}-in", "a-{x}-out", False),
        ("{x}-in", "a-{x}", True),
        ("shop", "shop", True),
        ("shop", "shop-{x}", False),
        ("shop-a", "shop-{x}", True),
        ("shop-", "shop-{x}", False),
    ],
)
def test_templates_that_may_give_one_name_are_known(one, other, shared):
    assert Template(one).may_name_the_same_as(Template(other)) is shared
    assert Template(other).may_name_the_same_as(Template(one)) is shared
