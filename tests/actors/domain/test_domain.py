from __future__ import annotations

import copy
import dataclasses
import pickle
import sys
from enum import Enum

import pytest

from actors.domain.domain import Domain
from actors.errors import CommandTimeout, ConcurrencyConflict, DomainError, InvalidMessage, Rejected


@pytest.fixture
def shop():
    return Domain("shop")


def test_a_registered_class_becomes_a_frozen_slotted_dataclass(shop):
    @shop.state(stream="product-{sku}")
    class Product:
        sku: str
        price: int = 1

        def doubled(self) -> int:
            return self.price * 2

    product = Product("lamp", 2)
    assert product == Product("lamp", price=2)
    assert product.doubled() == 4
    assert not hasattr(product, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        product.price = 3


def test_a_class_that_is_a_frozen_dataclass_already_stays_as_it_is(shop):
    @dataclasses.dataclass(frozen=True, order=True)
    class Money:
        cents: int

    assert shop.value(Money) is Money


def test_a_dataclass_that_is_not_frozen_is_refused(shop):
    @dataclasses.dataclass
    class Money:
        cents: int

    with pytest.raises(
        DomainError, match=r"test_domain\.py:\d+: value Money is a dataclass that is not frozen"
    ):
        shop.value(Money)


def test_a_class_that_dataclasses_refuse_is_refused_with_its_place(shop):
    with pytest.raises(DomainError, match=r"test_domain\.py:\d+: value Bag: mutable default"):

        @shop.value
        class Bag:
            items: list[int] = []  # noqa: RUF012


def test_an_enum_stays_an_enum(shop):
    @shop.value
    class Colour(Enum):
        RED = "red"

    @shop.value(name="form")
    class Shape(Enum):
        ROUND = 1

    assert list(Colour) == [Colour.RED]
    assert {one.name for one in shop.declarations.classes} == {"Colour", "form"}


def test_an_enum_can_be_said_to_be_one(shop):
    @shop.enum
    class Colour(Enum):
        RED = "red"

    @shop.enum(name="form")
    class Shape(Enum):
        ROUND = 1

    assert (Colour("red"), Shape(1)) == (Colour.RED, Shape.ROUND)
    assert {(one.kind, one.name) for one in shop.declarations.classes} == {
        ("value", "Colour"),
        ("value", "form"),
    }
    with pytest.raises(
        DomainError, match=r"@shop.enum takes an Enum, and Money is none; register it with @value"
    ):

        @shop.enum
        class Money:
            amount: int


def test_functions_are_returned_as_they_are(shop):
    def fn(state, message):
        yield

    catalog = shop.read_model("catalog")
    assert shop.decide(fn) is fn
    assert shop.decide(int)(fn) is fn
    assert shop.evolve(fn) is fn
    assert shop.evolve(int, state=None)(fn) is fn
    assert catalog.on(fn) is fn
    assert catalog.on(int)(fn) is fn
    assert shop.around_command(fn) is fn
    assert shop.around_query(order=3)(fn) is fn


def test_a_bare_event_is_refused_at_once(shop):
    with pytest.raises(
        DomainError, match=r"test_domain\.py:\d+: @shop\.event\(.*Listed\).*not a state of domain 'shop'"
    ):

        @shop.event
        class Listed:
            sku: str


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("state", r'write @shop\.state\(stream="product-\{sku\}"\)$'),
        ("query", r"write @shop\.query\(reads=\[model\]\)$"),
    ],
)
def test_a_decorator_without_its_arguments_is_refused_with_what_to_write(shop, kind, advice):
    class Listed:
        sku: str

    decorator = getattr(shop, kind)
    place = rf"test_domain\.py:\d+: @shop\.{kind} "
    with pytest.raises(DomainError, match=rf"{place}stands without brackets above .*Listed; {advice}"):
        decorator(Listed)
    with pytest.raises(DomainError, match=rf"{place}was given 5 by position, .* by name; {advice}"):
        decorator(5)
    with pytest.raises(DomainError, match=rf"{place}lacks (stream|reads)=; {advice}"):
        decorator()


def test_a_declared_class_has_the_place_of_its_own_decorator(shop):
    catalog = shop.read_model("catalog")
    first = sys._getframe().f_lineno
    shop.state(stream="product-{sku}")(type("Product", (), {"__annotations__": {"sku": str}}))
    shop.query(reads=catalog)(type("Ask", (), {}))
    assert [one.location for one in shop.declarations.classes] == [
        f"{__file__}:{first + 1}",
        f"{__file__}:{first + 2}",
    ]


@pytest.mark.parametrize("name", [5, "", None])
def test_a_domain_without_a_name_is_refused(name):
    with pytest.raises(DomainError, match=rf"test_domain\.py:\d+: a domain's name .*got {name!r}"):
        Domain(name)


def test_a_read_model_whose_name_is_no_text_is_refused(shop):
    shop.read_model(5)
    with pytest.raises(DomainError, match="read model 5: its name must be letters"):
        shop.compile()


def test_a_state_of_another_domain_is_refused_at_once(shop):
    other = Domain("other")

    @other.state(stream="a-{x}")
    class Thing:
        x: str

    with pytest.raises(DomainError, match=r"Thing is not a state of domain 'shop'"):
        shop.command(Thing)


@pytest.mark.parametrize(
    ("name", "indexes"), [("products", ["price", "price"]), ("products", [()]), ("a/b", [])]
)
def test_a_table_that_can_not_be_is_refused_with_its_place(shop, name, indexes):
    catalog = shop.read_model("catalog")
    with pytest.raises(DomainError, match=r"test_domain\.py:\d+: read model 'catalog': .*table"):
        catalog.table(name, key="sku", indexes=indexes)


@pytest.mark.parametrize(
    "error",
    [
        Rejected("sold out", code="stock.none", sku="lamp", left=0),
        InvalidMessage.of("ListProduct", "price", "int", "str 'abc'"),
        ConcurrencyConflict("product-lamp", 3, 4),
        CommandTimeout("id-1"),
        DomainError("two mistakes", ["one", "two"]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_a_copy_and_pickle(error):
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert vars(other) == vars(error)


def test_a_subclass_of_rejected_with_its_own_arguments_survives_pickle():
    error = pickle.loads(pickle.dumps(SoldOut("lamp")))
    assert (type(error), error.code, error.details) == (SoldOut, "sold.out", {"sku": "lamp"})


class SoldOut(Rejected):
    def __init__(self, sku: str) -> None:
        super().__init__(f"{sku} is sold out", code="sold.out", sku=sku)
