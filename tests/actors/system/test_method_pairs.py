"""A method for event loops takes and promises what the one for threads does: they can't drift apart."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors import (
    AppendOptions,
    CommandOptions,
    ConsumerOptions,
    ManyOptions,
    QueryOptions,
    Session,
    System,
    WatchOptions,
)
from actors.queries.query_client import QueryClient
from actors.queries.query_dispatcher import QueryDispatcher
from actors.testing import open_system
from tests.bank_domain import BalanceOf, Open, bank

OPTIONS = {
    kind.__name__: kind
    for kind in (AppendOptions, CommandOptions, ConsumerOptions, ManyOptions, QueryOptions, WatchOptions)
}
PUBLIC = (System, Session)
HOLDERS = (*PUBLIC, QueryClient, QueryDispatcher)
"""Everything that has methods of both kinds."""


def methods(cls: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        if not name.startswith("_"):
            yield name, method


PAIRS = [
    pytest.param(getattr(cls, name[1:], None), method, id=f"{cls.__name__}.{name}")
    for cls in HOLDERS
    for name, method in methods(cls)
    if inspect.iscoroutinefunction(method)
]
TAKING_OPTIONS = [
    pytest.param(method, OPTIONS[found[1]], id=f"{cls.__name__}.{name}")
    for cls in PUBLIC
    for name, method in methods(cls)
    if (found := re.match(r"Unpack\[(\w+)\]", method.__annotations__.get("options", "")))
]


def test_there_are_pairs_of_every_kind() -> None:
    names = {one.id for one in PAIRS}
    for method in ("aexecute", "aexecute_many", "aquery", "aquery_at", "aquery_many"):
        assert {f"System.{method}", f"Session.{method}"} <= names
    assert {"QueryClient.aquery_many", "QueryDispatcher.aquery"} <= names


@pytest.mark.parametrize(("method", "twin"), PAIRS)
def test_both_of_a_pair_take_and_return_the_same(method: Any, twin: Any) -> None:
    assert method is not None, f"{twin.__name__} has nothing beside it for threads"
    assert inspect.signature(method) == inspect.signature(twin)


@pytest.mark.parametrize(
    ("method", "twin"), [one for one in PAIRS if one.id.startswith(("System.", "Session."))]
)
def test_the_text_of_one_says_whose_promises_it_has_and_lists_none_of_its_own(method: Any, twin: Any) -> None:
    text = inspect.getdoc(twin)
    assert text is not None
    assert re.match(rf"As `(System\.a)?{method.__name__}`[,;:.]", text), text
    assert "Options:" not in text
    assert "Raises" not in text


@pytest.mark.parametrize(("method", "options"), TAKING_OPTIONS)
def test_a_method_names_each_of_its_options_or_where_they_are_described(method: Any, options: Any) -> None:
    text = inspect.getdoc(method) or ""
    listed = re.search(r"Options: (.*?)(?:[;.]\s|[;.]$)", text, re.DOTALL)
    if listed is not None:
        assert set(re.findall(r"`(\w+)`", listed[1])) == set(options.__annotations__)
    else:
        assert re.search(rf"\b[Aa]s (for )?`[\w.]+`|`{options.__name__}`", text), text


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_each_option_is_described_where_it_is_declared(options: Any) -> None:
    own = set(options.__annotations__)
    for other in OPTIONS.values():
        if set(other.__annotations__) < set(options.__annotations__):  # it inherits those
            own -= set(other.__annotations__)
    assert own
    assert own <= set(re.findall(r"`(\w+)", options.__doc__ or ""))


@pytest.mark.parametrize("name", ["execute", "submit", "execute_many", "append"])
@pytest.mark.parametrize("prefix", ["", "a"])
def test_a_session_writes_with_the_options_of_the_system(name: str, prefix: str) -> None:
    mine, of_system = getattr(Session, prefix + name, None), getattr(System, prefix + name, None)
    assert (mine is None) == (of_system is None)
    if mine is not None:
        assert inspect.signature(mine) == inspect.signature(of_system)


GIVEN: dict[str, Any] = {
    "execute": Open("ann"),
    "execute_many": [Open("ann")],
    "query": BalanceOf("ann"),
    "query_at": BalanceOf("ann"),
    "query_many": [BalanceOf("ann")],
}


@pytest.mark.parametrize("holder", PUBLIC)
@pytest.mark.parametrize("name", GIVEN)
def test_both_of_a_pair_refuse_what_is_no_option_of_theirs_and_list_those_there_are(
    name: str, holder: type
) -> None:
    with open_system(bank) as system:
        asked = system if holder is System else system.session()
        with pytest.raises(TypeError) as refused:
            getattr(asked, name)(GIVEN[name], timeuot=1)
        with pytest.raises(TypeError) as arefused:
            asyncio.run(getattr(asked, f"a{name}")(GIVEN[name], timeuot=1))
    assert f"{name.removesuffix('_at')}() has no option 'timeuot'; its options are " in str(refused.value)
    assert str(arefused.value) == f"a{refused.value}"


def test_every_pair_was_asked_for_what_it_does_not_have() -> None:
    assert {one.id.partition(".a")[2] for one in PAIRS if one.id.startswith("System.")} == {*GIVEN}
