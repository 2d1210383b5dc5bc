"""The fingerprint of projections' code: the same in every process, another with every change that matters."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.domain.fingerprint import fingerprint
from actors.domain.read_model import Handler

HEAD = "import functools\nLIMIT = 3\n"
PLAIN = """
def on(event, tables):
    "What it is for."
    seen = {"b", "a", "c"}
    if event.kind in {"x", "y", "z"}:
        tables["t"].update(event.id, price=[n * 2 for n in event.prices if n > 10], key=lambda n: n + 1)
    return seen
"""


def compiled(source: str) -> Any:
    namespace: dict[str, Any] = {}
    exec(HEAD + source, namespace)
    return namespace["on"]


def of(fn: Any, event: str = "Listed", recorded: bool = False) -> str:
    return fingerprint([(event, Handler(fn, recorded))])


def test_it_is_the_same_in_every_process() -> None:
    program = (
        "from tests.actors.domain.test_fingerprint import PLAIN, WRAPPED, compiled, of\n"
        "print(of(compiled(PLAIN)), of(compiled(WRAPPED)))"
    )
    root = str(Path(__file__).parents[3])
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": root, "PYTHONHASHSEED": seed},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert found == {f"{of(compiled(PLAIN))} {of(compiled(WRAPPED))}\n"}


WRAPPED = """
def twice(fn):
    allowed = frozenset({"p", "q", "r"})
    @functools.wraps(fn)
    def both(event, tables):
        if event.kind in allowed:
            fn(event, tables)
        fn(event, tables)
    return both

@twice
def on(event, tables):
    tables["t"].put({"id": event.id, "limit": 3})
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [("def on", "\n\n# a comment\ndef on"), ('"What it is for."', '"Something else."')],
    ids=["the line", "the docstring"],
)
def test_what_changes_nothing_leaves_it_as_it_was(old: str, new: str) -> None:
    assert of(compiled(PLAIN.replace(old, new))) == of(compiled(PLAIN))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("n > 10", "n > 11"),
        ("n + 1", "n - 1"),
        ("n * 2", "n * 3"),
        ("event.prices", "event.costs"),
        ("price=", "cost="),
        ('"z"', '"w"'),
        ('"c"}', '"d"}'),
        ("return seen", "return LIMIT"),
        ("tables):", "tables, recorded=None):"),
        ("tables):", "tables, recorded=1):"),
        ("tables):", "tables, *, recorded=1):"),
    ],
)
def test_what_changes_the_code_changes_it(old: str, new: str) -> None:
    assert of(compiled(PLAIN.replace(old, new))) != of(compiled(PLAIN))


@pytest.mark.parametrize(
    ("old", "new"), [('"limit": 3', '"limit": 4'), ('"r"', '"s"'), ("if event", "if not event")]
)
def test_a_wrapper_counts_with_what_it_wraps(old: str, new: str) -> None:
    assert of(compiled(WRAPPED.replace(old, new))) != of(compiled(WRAPPED))


def test_the_events_and_the_third_parameter_count() -> None:
    fn = compiled(PLAIN)
    assert len({of(fn), of(fn, "Repriced"), of(fn, recorded=True), fingerprint([])}) == 4
    pair = [("A", Handler(fn, False)), ("B", Handler(compiled(WRAPPED), False))]
    assert fingerprint(pair) == fingerprint(pair[::-1])


class Adder:
    """A projection that is an object."""

    def __call__(self, event: Any, tables: Any) -> None:
        tables["t"].put({"id": event.id})

    def method(self, event: Any, tables: Any) -> None:
        tables["t"].delete(event.id)


def test_anything_that_can_be_called_has_one() -> None:
    fn = compiled(PLAIN)
    several = [
        Adder(),
        Adder().method,
        functools.partial(fn, 1),
        functools.partial(fn, 2),
        functools.partial(fn, key=2),
        print,
        SimpleNamespace,
    ]
    assert len({of(one) for one in several}) == len(several)
    assert of(Adder()) == of(Adder())
    assert of(Adder().method) == of(Adder.method)


def test_functions_that_hold_themselves_have_one() -> None:
    held: list[Any] = []

    def on(event: Any, tables: Any) -> None:
        held.append(event)
        on(event, tables)

    held.append(held)
    assert of(on) == of(on)


def test_a_name_that_has_no_value_yet_is_no_fault() -> None:
    def on(event: Any, tables: Any) -> None:
        tables["t"].put({"id": event.id, "later": later})

    before = of(on)
    later = 3
    assert of(on) != before
