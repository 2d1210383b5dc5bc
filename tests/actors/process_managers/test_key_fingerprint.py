"""Key functions are equal only where they give the same instances, whatever they are and wherever they are
written.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from types import FunctionType, ModuleType
from typing import Any

import pytest

from actors.domain.process_manager_spec import EventRule, ProcessManagerSpec
from actors.process_managers.key_fingerprint import key_fingerprints, refreshed, same_keys

KEYS = "keys_of_a_program"


class Sold:
    pass


def told(key_of: Callable[[Any], str | None]) -> dict[str, str]:
    rules = {Sold: EventRule(key_of, {})}
    return key_fingerprints(ProcessManagerSpec("w", 1, "now", frozenset(), rules, {}, {}, {}, frozenset()))


def written(text: str) -> Any:
    """The key function of a program of this text."""
    names: dict[str, Any] = {"__name__": KEYS}
    exec(text, names)
    return names["key"]


@pytest.fixture
def module() -> Iterator[ModuleType]:
    sys.modules[KEYS] = module = ModuleType(KEYS)
    yield module
    del sys.modules[KEYS]


@pytest.mark.parametrize(
    ("text", "a", "b"),
    [
        ("key = lambda e: e.{}", "shop", "customer"),
        ("key = lambda e: e.shop + {}", "'1'", "'2'"),
        ("key = lambda e, by={}: e.shop[by]", "1", "2"),
        ("def key(e, *, by={}): return e.shop[by]", "1", "2"),
        ("def key(e):\n def inner(): return e.{}\n return inner()", "shop", "customer"),
        ("def of(e): return e.{}\ndef key(e): return of(e)", "shop", "customer"),
        ("BY = {}\ndef key(e): return e.shop + BY", "'1'", "'2'"),
        ("BY = {{'a': {}}}\ndef key(e): return BY[e.shop]", "'1'", "'2'"),
        ("import re\nBY = re.compile({})\ndef key(e): return BY.match(e.shop)[0]", "'1'", "'2'"),
        ("class By:\n def of(self, e): return e.{}\nkey = By().of", "shop", "customer"),
        (
            "class By:\n def __init__(self): self.by = {}\n"
            " def of(self, e): return e.shop[self.by]\nkey = By().of",
            "1",
            "2",
        ),
        (
            "class By:\n __slots__ = ('by',)\n def __init__(self): self.by = {}\n"
            " def __call__(self, e): return e.shop[self.by]\nkey = By()",
            "1",
            "2",
        ),
        (
            "class By:\n def of(self, e): return e.{}\n def __call__(self, e): return self.of(e)\nkey = By()",
            "shop",
            "customer",
        ),
        ("key = {{'a': {}}}.get", "'1'", "'2'"),
        ("import functools\n@functools.lru_cache\ndef key(e): return e.{}", "shop", "customer"),
        (
            "import functools\ndef deco(f):\n return functools.wraps(f)(lambda e: f(e))\n"
            "@deco\ndef key(e): return e.{}",
            "shop",
            "customer",
        ),
        ("def key(e): return key(e.{}) if e else None", "shop", "customer"),
        ("key = {}", "repr", "str"),
    ],
)
def test_functions_are_equal_only_where_their_code_is(text: str, a: str, b: str) -> None:
    assert same_keys(told(written(text.format(a))), told(written(text.format(a))))
    assert not same_keys(told(written(text.format(a))), told(written(text.format(b))))


def test_a_function_of_another_module_counts_with_its_code(module: ModuleType) -> None:
    reads = written(f"import {KEYS}\ndef key(e): return {KEYS}.of(e)")
    module.of = lambda e: e.shop  # type: ignore[attr-defined]
    before = told(reads)
    assert same_keys(before, told(reads))
    module.of = lambda e: e.customer  # type: ignore[attr-defined]
    assert not same_keys(before, told(reads))


def test_comments_lines_and_the_text_of_a_function_do_not_count() -> None:
    plain = written("def key(e): return e.shop")
    assert same_keys(told(plain), told(written("# moved\n\ndef key(e):\n    # so\n    return e.shop")))


class Colour(Enum):
    RED = 1


def test_what_cannot_be_told_is_equal_to_nothing() -> None:
    waiting = (number for number in range(3))
    unknown = told(lambda _event: str(next(waiting)))
    assert not same_keys(unknown, unknown)
    fields = told(lambda event: Colour.RED.name if isinstance(event, Sold) else re.sub("a", "b", event.shop))
    assert same_keys(fields, fields)


def test_fields_and_events_that_only_one_version_knows() -> None:
    assert same_keys({"A": "shop", "B": "x"}, {"A": "shop", "C": "y"})
    assert not same_keys({"A": "shop"}, {"A": "customer"})
    now = told(FunctionType((lambda e: e.shop).__code__, {}))
    assert (
        refreshed(None, now)
        == refreshed({"Sold": "key()"}, now)
        == refreshed({"Sold": "(3.9.1 00)"}, now)
        == now
    )
    other = told(lambda e: e.customer)
    assert refreshed(other, now) == other
    assert refreshed({"Sold": "shop", "A": "a"}, now | {"B": "b"}) == {"Sold": "shop", "A": "a", "B": "b"}
