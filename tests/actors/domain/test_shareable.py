"""Which messages can hold what is not shareable is known after compiling; all others cost nothing."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, time
from typing import Any, Literal
from zoneinfo import ZoneInfo

from actors import Domain

notes = Domain("notes")


@notes.value
class Kind(enum.Enum):
    A = "a"


@notes.value
class Plain:
    number: int
    next: Plain | None = None


@notes.value
class Base:
    number: int


@notes.value
class Listed(Base):
    items: list[int]


@notes.value
class Tree:
    children: tuple[Tree, ...]


@notes.value
class Holder:
    tree: Tree
    held: Held | None


@notes.value
class Held:
    back: tuple[Holder, ...]
    at: time | None


@notes.value
class Own:
    number: int

    def __post_init__(self) -> None:
        pass


@notes.event(state=None)
class Flat:
    text: str
    number: int | float | None
    raw: bytes
    day: date
    kind: Kind
    word: Literal["a", "b"]
    several: tuple[str, ...]
    fixed: tuple[int, Plain]
    some: frozenset[str]
    tree: Tree


@notes.event(state=None)
class Timed:
    text: str
    at: datetime


@notes.event(state=None)
class Anything:
    value: Any


@notes.event(state=None)
class Lists:
    words: list[str]


@notes.event(state=None)
class Inherited:
    base: Base


@notes.event(state=None)
class Cyclic:
    held: Held


@notes.event(state=None)
class Built:
    own: Own


SPECS = {cls.__name__: spec for cls, spec in notes.compile().events.items()}
CODEC = notes.compile().codec


def test_messages_that_can_hold_only_what_lasts_are_not_looked_at() -> None:
    assert [name for name, spec in SPECS.items() if spec.shareable is None] == ["Flat"]
    assert {cls for cls in (Plain, Base, Tree) if CODEC.shareable.check_of(cls) is not None} == set()


def test_others_are_looked_at_by_their_values() -> None:
    held = Held((), None)
    lasting = [
        Timed("x", datetime(2026, 1, 1, tzinfo=UTC)),
        Anything((1, "x")),
        Inherited(Base(1)),
        Cyclic(Held((Holder(Tree(()), held),), time(1))),
    ]
    zone = ZoneInfo("Europe/Berlin")
    others = [
        Timed("x", datetime(2026, 1, 1, tzinfo=zone)),
        Anything([1]),
        Lists([]),
        Inherited(Listed(1, [2])),
        Cyclic(Held((Holder(Tree(()), Held((), time(1, tzinfo=UTC, fold=1))),), None)),
        Built(Own(1)),
    ]
    assert [message for message in lasting if not SPECS[type(message).__name__].shareable(message)] == []
    assert [message for message in others if SPECS[type(message).__name__].shareable(message)] == []


def test_how_deep_lists_are_is_looked_at_only_where_there_may_be_some() -> None:
    flat = {name for name, spec in SPECS.items() if CODEC.is_flat(spec.cls)}
    assert flat == {"Flat", "Timed", "Cyclic", "Built"}
