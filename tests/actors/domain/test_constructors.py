"""The cheaper constructor is the written one in everything but its cost."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from typing import Any, ClassVar

import pytest

from actors.domain.constructors import with_slots_filled


def made(cls: type) -> tuple[Any, Any]:
    """The class as `dataclasses` makes it, and with the cheaper constructor."""
    frozen = dataclasses.dataclass(frozen=True, slots=True)
    copied = type(cls.__name__, cls.__bases__, dict(cls.__dict__))
    return frozen(cls), with_slots_filled(frozen(copied))


class Plain:
    sku: str
    price: int = 7
    tags: tuple[str, ...] = ()


Written, Filled = made(Plain)


@pytest.mark.parametrize(
    ("arguments", "named"), [(("a",), {}), (("a", 1), {}), (("a",), {"price": 2, "tags": ("x",)})]
)
def test_what_it_makes_is_the_same(arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    filled = Filled(*arguments, **named)
    assert Filled.__init__ is not Written.__init__
    assert dataclasses.astuple(filled) == dataclasses.astuple(Written(*arguments, **named))
    assert dataclasses.replace(filled, price=9).price == 9
    assert copy.deepcopy(filled) == filled
    with pytest.raises(dataclasses.FrozenInstanceError):
        filled.sku = "b"


@pytest.mark.parametrize(("arguments", "named"), [((), {}), (("a", 1, (), 4), {}), (("a",), {"colour": 1})])
def test_wrong_arguments_give_the_same_error(arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    with pytest.raises(TypeError) as of_written:
        Written(*arguments, **named)
    with pytest.raises(TypeError) as of_filled:
        Filled(*arguments, **named)
    assert str(of_filled.value) == str(of_written.value)


def test_it_has_the_same_signature_and_name() -> None:
    assert inspect.signature(Filled) == inspect.signature(Written)
    assert Filled.__init__.__qualname__ == Written.__init__.__qualname__


class Checked:
    price: int

    def __post_init__(self) -> None:
        if self.price < 0:
            raise ValueError("below 0")


class WithFactory:
    tags: list[str] = dataclasses.field(default_factory=list)


class NamedOnly:
    price: int = dataclasses.field(kw_only=True)


class OfClass:
    price: int
    unit: ClassVar[str] = "cent"


class Init:
    price: int
    factor: dataclasses.InitVar[int] = 1


class Empty:
    pass


class Selfish:
    self: int


@pytest.mark.parametrize("cls", [Checked, WithFactory, NamedOnly, OfClass, Init, Empty, Selfish])
def test_a_class_that_does_more_keeps_its_own(cls: type) -> None:
    dataclass = dataclasses.dataclass(frozen=True, slots=True)(cls)
    before = dataclass.__init__
    assert with_slots_filled(dataclass).__init__ is before


def test_fields_of_a_base_are_filled_too() -> None:
    base = with_slots_filled(
        dataclasses.dataclass(frozen=True, slots=True)(type("Base", (), {"__annotations__": {"a": int}}))
    )
    derived = with_slots_filled(
        dataclasses.dataclass(frozen=True, slots=True)(
            type("Derived", (base,), {"__annotations__": {"b": int}})
        )
    )
    assert dataclasses.astuple(derived(1, 2)) == (1, 2)
