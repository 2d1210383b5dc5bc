"""An annotation is resolved as Python resolves it, whether it is the name of a class or anything else."""

from __future__ import annotations

import types
import typing
from typing import Annotated, Any

import pytest

from actors.domain.annotations import resolve, without_extras


class Here:
    """What the module calls `Here`."""


class Inner:
    """What the domain calls `Here` and `str`."""


GLOBALS = {**globals(), "Generic": typing.Generic, "Protocol": typing.Protocol}
LOCALS = {"Here": Inner, "str": Inner}
TEXTS = [
    "Here", "str", "int", "Any", "None", "type", "Annotated[Here, 1]", "list[Here] | None",
    "list['Here']", "tuple[Annotated[int, 2], ...]", "Pattern", "Generic", "Protocol", "len", "int ",
]  # fmt: skip


def as_python_does(annotation: Any, extras: bool) -> Any:
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, dict(GLOBALS), dict(LOCALS), include_extras=extras)["it"]
    except Exception as error:
        return repr(error)


@pytest.mark.parametrize("extras", [True, False])
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_resolved_as_python_does_it(text: str, extras: bool) -> None:
    try:
        found = resolve(text, GLOBALS, LOCALS, extras=extras)
    except Exception as error:
        found = repr(error)
    assert found == as_python_does(text, extras)


@pytest.mark.parametrize("text", ["Here", "Annotated[Here, 1]", "tuple[Annotated[int, 2], ...]", "None"])
def test_extras_can_be_left_out_afterwards(text: str) -> None:
    assert without_extras(resolve(text, GLOBALS, LOCALS, extras=True)) == as_python_does(text, False)


def test_the_names_of_the_domain_come_first_then_the_module_s_then_python_s() -> None:
    assert [resolve(text, GLOBALS, LOCALS) for text in ("Here", "str", "int")] == [Inner, Inner, int]
    assert resolve("Here", GLOBALS, {}) is Here
    assert resolve(Annotated[int, 1], {}, {}) is int
