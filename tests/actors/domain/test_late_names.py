"""A class may name what is defined further down: as text, and from Python 3.14 on without quotes."""

from __future__ import annotations

import importlib
import inspect
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from actors import DomainError, System
from actors.repl.vocabulary import Vocabulary
from actors.testing import given, given_process_manager

PROGRAM = """
from enum import Enum
from typing import TYPE_CHECKING, Any, Optional

from actors import Do, Domain, Rejection

if TYPE_CHECKING:
    from collections.abc import Iterator

club = Domain("club")

@club.state(stream="member-{name}")
class Member:
    name: str
    cards: list[Card]
    guest: Guest | None = None

@club.event(Member)
class Joined:
    name: str
    card: Card
    by_kind: dict[Kind, tuple[Card, ...]]

@club.event(Member)
class Brought:
    name: str
    guest: Optional[Guest]

@club.command(Member)
class Join:
    name: str
    card: Card

@club.command(Member)
class Bring:
    name: str
    guest: Guest | None

@club.value
class Guest:
    name: str
    brought: list[Guest]

@club.value
class Card:
    number: int
    kind: Kind

@club.value
class Kind(Enum):
    DAY = "day"
    YEAR = "year"

@club.decide
def join(member: None, command: Join) -> Iterator[Joined]:
    yield Joined(command.name, command.card, {command.card.kind: (command.card,)})

@club.decide
def bring(member: Member, command: Bring) -> Brought:
    return Brought(command.name, command.guest)

@club.evolve
def joined(member: None, event: Joined) -> Member:
    return Member(event.name, [event.card])

@club.evolve
def brought(member: Member, event: Brought) -> Member:
    return Member(member.name, member.cards, event.guest)

names = club.read_model("names")
table = names.table("names", key="name")

@names.on
def on_joined(event: Joined, tables: Writable) -> None:
    tables[table].put({"name": event.name, "card": event.card})

@club.query(reads=names)
class CardOf:
    name: str

    def run(self, view: Viewed) -> Card | None:
        row = view[table].get(self.name)
        return None if row is None else row["card"]

greeter = club.process_manager("greeter", key="name", start="beginning")

@greeter.on
def greet(state: None, event: Joined, do: Do) -> Greeting:
    do.execute(Bring(event.name, None))
    return Greeting([event.card])

@greeter.on_rejected
def not_brought(state: Greeting, rejection: Rejection[Bring], do: Do) -> None:
    do.end()

@greeter.state
class Greeting:
    cards: list[Card]
"""

SECRET = """
from actors import Domain

club = Domain("club")

@club.event(state=None)
class Told:
    secret: Secret | None

@club.event(state=None)
class Kept:
    secret: list[Secret]
"""

LOCAL = """
from actors import Domain

def made():
    club = Domain("club")

    @club.state(stream="member-{name}")
    class Member:
        name: str
        card: Card

    @club.event(Member)
    class Joined:
        name: str
        card: Card

    @club.command(Member)
    class Join:
        name: str
        card: Card

    @club.decide
    def join(member: None, command: Join) -> Joined:
        return Joined(command.name, command.card)

    @club.evolve
    def joined(member: None, event: Joined) -> Member:
        return Member(event.name, event.card)

    @club.value
    class Card:
        number: int
        before: Card | None = None

    return club, Join, Joined, Card
"""

BEGINNINGS = {
    "as text": "from __future__ import annotations\n",
    "evaluated late": "",
}


@pytest.fixture(params=BEGINNINGS)
def imported(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Imports a program, in which names come before what they name."""
    if request.param == "evaluated late" and sys.version_info < (3, 14):
        pytest.skip("before 3.14 such a program ends at its first class")
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(program: str) -> ModuleType:
        (tmp_path / "late_names_program.py").write_text(BEGINNINGS[request.param] + program)
        importlib.invalidate_caches()
        return importlib.import_module("late_names_program")

    yield load
    sys.modules.pop("late_names_program", None)


def test_classes_rules_and_projections_may_name_later_classes(imported: Any, tmp_path: Path) -> None:
    program = imported(PROGRAM)
    card = program.Card(1, program.Kind.YEAR)
    guest = program.Guest("bob", [program.Guest("cy", [])])
    for turn in ("first", "again"):
        with System.open(tmp_path / "store", program.club, replicas=1) as system:
            if turn == "first":
                system.execute(program.Join("ann", card))
                system.wait_process_managers()
                system.execute(program.Bring("ann", guest))
            assert system.query(program.CardOf("ann"), consistency="strong") == card
            assert system.process_manager_state("greeter", "ann") == program.Greeting([card])
            assert [one.event for one in system.stream("member-ann")] == [
                program.Joined("ann", card, {card.kind: (card,)}),
                program.Brought("ann", None),
                program.Brought("ann", guest),
            ]


def test_the_test_kit_runs_them(imported: Any) -> None:
    program = imported(PROGRAM)
    card = program.Card(1, program.Kind.DAY)
    joined = program.Joined("ann", card, {card.kind: (card,)})
    given(program.club).when(program.Join("ann", card)).then(joined)
    assert given(program.club, joined).state(program.Member, "ann") == program.Member("ann", [card])
    assert given_process_manager(program.greeter, joined).state == program.Greeting([card])


def test_fields_are_checked_by_what_they_name(imported: Any) -> None:
    program = imported(PROGRAM)
    refused = given(program.club).when(program.Join("ann", "card"))
    assert "Join.card must be Card, got str 'card'" in str(refused.error)


def test_the_prompt_shows_what_they_name(imported: Any) -> None:
    program = imported(PROGRAM)
    forms = Vocabulary(program.club).forms
    assert [one.type for one in forms["Joined"].fields] == ["str", "Card", "dict[Kind, tuple[Card, ...]]"]


def test_constructors_keep_their_annotations(imported: Any) -> None:
    program = imported(PROGRAM)
    assert typing.get_type_hints(program.Card.__init__)["kind"] is program.Kind
    assert list(inspect.signature(program.Card).parameters) == ["number", "kind"]


def test_classes_inside_a_function_may_name_later_ones(imported: Any, tmp_path: Path) -> None:
    club, join, joined, card = imported(LOCAL).made()
    with System.open(tmp_path / "store", club, replicas=1) as system:
        one = card(2, card(1))
        assert list(system.execute(join("ann", one)).events) == [joined("ann", one)]


def test_a_name_that_never_comes_is_a_mistake_with_its_place(imported: Any) -> None:
    program = imported(SECRET)
    with pytest.raises(DomainError) as refused:
        program.club.compile()
    told, kept = refused.value.problems
    assert "Told.secret: its annotation 'Secret | None' can't be resolved" in told
    assert "Kept.secret: its annotation 'list[Secret]' can't be resolved" in kept
    assert "name 'Secret' is not defined" in kept
