"""A domain with rules over many streams: unique names, a bounded number of seats, inline models that can
fail.
"""

from __future__ import annotations

import threading
from typing import Any

from actors import Domain, Reader, Rejected, each

club = Domain("club")

SEATS = 5


class Hang:
    """What the decider of `Wait` waits for."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()


hang = Hang()


@club.state(stream="member-{id}")
class Member:
    id: str
    name: str | None


@club.event(Member)
class Joined:
    id: str
    name: str


@club.event(Member)
class Renamed:
    id: str
    name: str


@club.event(Member)
class Left:
    id: str
    name: str


@club.event(Member, state=None)
class Seated:
    id: str
    room: str


@club.event(Member, state=None)
class Broken:
    id: str
    how: str


@club.event(state=None)
class Counted:
    number: int


@club.command(Member)
class Join:
    id: str
    name: str


@club.command(Member)
class Rename:
    id: str
    name: str


@club.command(Member)
class Leave:
    id: str


@club.command(Member)
class Sit:
    id: str
    room: str


@club.command(Member)
class Break:
    id: str
    how: str


@club.command(Member)
class Wait:
    id: str


@club.command(Member)
class ReadWrongly:
    id: str
    what: str


def refuse_taken(read: Reader, name: str) -> None:
    row = read[names].get(name)
    if row is not None:
        raise Rejected(f"{row['id']} has this name", code="name.taken", by=row["id"])


@club.decide
def join(member: Member | None, command: Join, read: Reader):
    if member is not None and member.name is not None:
        raise Rejected("is a member", code="member.exists")
    refuse_taken(read, command.name)
    yield Joined(command.id, command.name)


@club.decide
def rename(member: Member, command: Rename, read: Reader):
    if member.name is None:
        raise Rejected("has left", code="member.left")
    if member.name != command.name:
        refuse_taken(read, command.name)
        yield Renamed(command.id, command.name)


@club.decide
def leave(member: Member, command: Leave):
    if member.name is not None:
        yield Left(command.id, member.name)


@club.decide
def sit(member: Member | None, command: Sit):
    yield Seated(command.id, command.room)


@club.decide
def break_it(member: Member | None, command: Break):
    yield Broken(command.id, command.how)


@club.decide
def wait(member: Member | None, command: Wait, read: Reader):
    read[names].get("anyone")
    hang.entered.set()
    assert hang.release.wait(60)
    read[names].get("anyone else")
    yield Broken(command.id, "not")


@club.decide
def read_wrongly(member: Member | None, command: ReadWrongly, read: Reader):
    read[{"other": others, "text": "names"}[command.what]].get("x")


@club.evolve
def joined(member: Member | None, event: Joined) -> Member:
    return Member(event.id, event.name)


@club.evolve
def renamed(member: Member, event: Renamed) -> Member:
    return Member(event.id, event.name)


@club.evolve
def left(member: Member, event: Left) -> Member:
    return Member(event.id, None)


register = club.read_model("register", inline=True)
names = register.table("names", key="name", indexes=["id", each("letters")])


def listed(id: str, name: str) -> dict[str, Any]:
    return {"name": name, "id": id, "letters": sorted(set(name))}


@register.on
def on_joined(event: Joined, tables):
    tables[names].put(listed(event.id, event.name))


@register.on
def on_renamed(event: Renamed, tables):
    for row in tables[names].find("id", event.id):
        tables[names].delete(row["name"])
    tables[names].put(listed(event.id, event.name))


@register.on
def on_left(event: Left, tables):
    assert tables[names].delete(event.name)


rooms = club.read_model("rooms", inline=True)
seats = rooms.table("seats", key=("room", "id"), indexes=["room"])
visits = rooms.table("visits", key="id")


@rooms.on
def on_seated(event: Seated, tables):
    row = tables[visits].get(event.id) or {"id": event.id, "count": 0}
    tables[visits].put({**row, "count": row["count"] + 1})
    tables[seats].put({"room": event.room, "id": event.id})
    if tables[seats].count("room", equal=event.room) > SEATS:
        raise Rejected(f"{event.room} is full", code="room.full", room=event.room)


@rooms.on
def on_broken(event: Broken, tables):
    tables[visits].put({"id": event.id, "count": -1})
    match event.how:
        case "raise":
            raise LookupError("no such room")
        case "exit":
            raise SystemExit
        case "row":
            tables[visits].put({"id": event.id, "count": object()})
        case "key":
            tables[seats].put({"room": "x" * 600, "id": "a"})
        case "table":
            tables[names].put({"name": "x"})


log_book = club.read_model("log_book")
others = log_book.table("others", key="position")


@log_book.on
def on_anything(event: Joined | Renamed | Left, tables, recorded):
    tables[others].put({"position": recorded.position})


@club.query(reads=[register])
class HolderOf:
    name: str

    def run(self, view):
        row = view[names].get(self.name)
        return None if row is None else row["id"]


@club.query(reads=[register, log_book])
class HoldersAndEntries:
    def run(self, view):
        return len(view[names]), len(view[others])


COUNT_OF_NAMES = 12


def member_command(number: int) -> Any:
    """A command made from a number alone; few names for many members, so that most are refused."""
    member, name = f"m{number % 31}", f"n{number * 7 % COUNT_OF_NAMES}"
    match number % 5:
        case 0 | 1:
            return Join(member, name)
        case 2:
            return Rename(member, name)
        case 3:
            return Leave(member)
        case _:
            return Sit(member, f"room-{number % 3}")
