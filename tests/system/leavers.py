"""A domain that keeps personal values wherever something can be kept, and in careless ways, too."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Annotated

from actors import Do, Domain, Personal, Rejected

club = Domain("club")
Text = Annotated[str, Personal(subject="member")]


@club.state(stream="member-{member}", snapshot_every=2)
class Member:
    member: str
    name: Text
    shown: str  # a careless copy of a personal value
    visits: int


@club.event(Member, tags="club")
class Joined:
    member: str
    name: Text
    story: Text


@club.event(Member)
class Visited:
    member: str


@club.command(Member)
class Join:
    member: str
    name: Text
    story: Text


@club.command(Member)
class Visit:
    member: str


@club.decide
def join(member: Member | None, command: Join):
    yield Joined(command.member, command.name, command.story)


@club.decide
def visit(member: Member | None, command: Visit):
    if member is None:
        raise Rejected("nobody", code="member.unknown")
    yield Visited(command.member)


@club.evolve
def joined(member: Member | None, event: Joined) -> Member:
    return Member(event.member, event.name, event.story, 0)


@club.evolve
def visited(member: Member, event: Visited) -> Member:
    return replace(member, visits=member.visits + 1)


rows = club.read_model("rows")
members = rows.table("members", key="member", indexes=["name"])


@rows.on
def on_joined(event: Joined, tables):
    tables[members].put({"member": event.member, "name": event.name, "story": event.story})


door = club.read_model("door", inline=True)
door_names = door.table("names", key="member", indexes=["name"])


@door.on
def at_door(event: Joined, tables):
    tables[door_names].put({"member": event.member, "name": event.name, "story": event.story})


search = club.read_model(
    "search",
    engine="sqlite",
    schema="CREATE TABLE texts (member TEXT PRIMARY KEY, name TEXT, story TEXT);"
    "CREATE VIRTUAL TABLE words USING fts5(name);",
)


@search.on
def index_words(event: Joined, db):
    db.execute("INSERT OR REPLACE INTO texts VALUES (?, ?, ?)", (event.member, event.name, event.story))
    db.execute("INSERT INTO words VALUES (?)", (event.name,))


@club.query(reads=[rows], cache=True)
class StoryOf:
    member: str

    def run(self, view):
        row = view[members].get(self.member)
        return None if row is None else row["story"]


@club.query(reads=[door])
class AtDoor:
    member: str

    def run(self, view):
        row = view[door_names].get(self.member)
        return None if row is None else row["name"]


@club.query(reads=[search])
class Found:
    member: str

    def run(self, view):
        row = view[search].execute("SELECT name FROM texts WHERE member = ?", (self.member,)).fetchone()
        return None if row is None else row[0]


@club.value
class Card:
    member: str
    name: Text


greeting = club.process_manager("greeting", key="member", start="beginning")


@greeting.state
class Greeting:
    member: str
    name: Text


@greeting.timer
class Renew:
    member: str
    name: Text


@greeting.on
def on_member(state: Greeting | None, event: Joined, do: Do) -> Greeting:
    do.effect("print", Card(event.member, event.name))
    do.after(timedelta(days=365), Renew(event.member, event.name))
    return Greeting(event.member, event.name)


@greeting.on_timer
def on_renew(state: Greeting, timer: Renew, do: Do) -> None:
    do.effect("print", Card(timer.member, timer.name))


@greeting.effect("print")
def print_card(card: Card, _key: str) -> None:
    raise ConnectionError("the printer is out of paper")
