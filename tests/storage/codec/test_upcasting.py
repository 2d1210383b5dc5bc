"""Reading older versions: bytes that an older registry wrote, through upcasters and former names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, Flag
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from storage import Codec, CodecError, RecordedEvent, Stored, UnknownType, UpcastFailed
from storage.codec.upcasting import Upcaster
from storage.log.records import DROPPED, encode_event
from storage.log.stored_events import decode_event, own_copy


@dataclass(frozen=True)
class Old:
    cents: int


@dataclass(frozen=True)
class New:
    euros: float
    names: list[str]


@dataclass(frozen=True)
class Box:
    content: Any


class Size(Enum):
    S = 1
    L = 2


class Length(Enum):
    SHORT = 1
    LONG = 2


class Rights(Flag):
    R = 1
    W = 2


class Allowed(Flag):
    READ = 1
    WRITE = 2


def steps(name: str, *functions: Callable[[Any], Any]) -> list[Upcaster]:
    return [Upcaster(name, version, fn, "here.py:1") for version, fn in enumerate(functions, 1)]


def codecs(*functions: Callable[[Any], Any], name: str = "Price", **options: Any) -> tuple[Codec, Codec]:
    """One that writes `Old` as "Price", and one that reads it as `New`, stored as `name`."""
    old, new = Codec(), Codec()
    for codec in (old, new):
        codec.register(Box)
    old.register(Old, "Price")
    new.register(New, name)
    new.read_through(name, steps("Price", *functions), () if name == "Price" else ("Price",), **options)
    return old, new


def in_euros(fields: dict[str, Any]) -> dict[str, Any]:
    return {"euros": fields["cents"] / 100}


def with_names(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {"names": NAMES}


NAMES = ["shared"]


def recorded(event: Any) -> RecordedEvent:
    return RecordedEvent(7, "s", 1, event, "Price", 0, "c", metadata={"of": ["all"]})


@pytest.mark.parametrize("name", ["Price", "Amount"])
def test_an_old_value_goes_through_all_steps_wherever_it_is_and_is_written_in_the_last_version(
    name: str,
) -> None:
    old, new = codecs(in_euros, with_names, name=name)
    for wrap in (lambda one: one, lambda one: Box({"deep": [(one,)]})):
        assert new.decode(old.encode(wrap(Old(250)))) == wrap(New(2.5, NAMES))
    assert new.describe(New(1.0, []))[0] == f"{name}@3"
    assert new.decode(new.encode(Box(New(1.0, [])))) == Box(New(1.0, []))
    assert new.own(New(1.0, [])) == New(1.0, [])
    (read,) = [decode_event(new, 7, encode_event(old, recorded(Old(250))))]
    assert isinstance(read, RecordedEvent)
    assert (read.event, read.type) == (New(2.5, NAMES), name)
    again = decode_event(new, 7, encode_event(new, recorded(New(1.0, []))))
    assert isinstance(again, RecordedEvent)
    assert (again.event, again.type) == (New(1.0, []), name)
    assert [new.base_name(one) for one in ("Price", f"{name}@3", "Else@4")] == [name, name, "Else"]


def test_what_an_upcaster_returns_is_each_readers_own_as_it_would_come_from_bytes() -> None:
    here = datetime(2026, 3, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    old, new = codecs(in_euros, with_names)
    data = old.encode(Old(100))
    new.decode(data).names.append("mine")
    assert new.decode(data).names == ["shared"]
    old, new = codecs(in_euros, lambda fields: fields | {"names": [here]})
    (read,) = new.decode(old.encode(Old(1))).names
    assert read == here
    assert not isinstance(read.tzinfo, ZoneInfo)


def test_members_of_an_enum_are_mapped_by_name_and_the_bits_of_a_flag_each() -> None:
    old, new = Codec(), Codec()
    old.register(Size, "Size")
    old.register(Rights, "Rights")
    new.register(Length, "Length")
    new.register(Allowed, "Rights")
    new.read_through("Length", steps("Size", {"S": "SHORT", "L": "LONG"}.__getitem__), ("Size",))
    new.read_through("Rights", steps("Rights", lambda name: "READ" if name == "R" else "WRITE"))
    values = [Size.S, Size.L, Rights.R | Rights.W]
    assert [new.decode(old.encode(one)) for one in values] == [
        Length.SHORT,
        Length.LONG,
        Allowed.READ | Allowed.WRITE,
    ]
    for one in (Length.LONG, Allowed.READ):
        assert new.decode(new.encode(one)) is one
    new, _ = Codec(), None
    new.register(Length, "Size")
    new.read_through("Size", steps("Size", lambda name: 3))
    with pytest.raises(UpcastFailed, match=r"of Size version 1 \(here.py:1\) returned 3; it must return"):
        new.decode(old.encode(Size.S))


def split(*parts: Any) -> Any:
    """What a codec reads as of an event whose upcaster returns these parts."""
    old, new = Codec(), Codec()
    old.register(Old, "Price")
    new.register(New, "Amount")
    new.register(Box, "Box")
    new.read_through("Amount", steps("Amount", in_euros, with_names), event=True)
    new.read_through("Box", event=True)
    new.read_through(
        "Price", steps("Price", lambda _: parts[0] if len(parts) == 1 else list(parts)), event=True
    )
    return decode_event(new, 7, encode_event(old, recorded(Old(250))))


def test_an_event_becomes_several_others_or_none_at_its_position() -> None:
    found = split(
        Stored("Box", {"content": 1}), Stored("Amount", {"cents": 300}), Stored("Amount", {"euros": 1.0}, 2)
    )
    assert [(one.event, one.type, one.position, one.part, one.parts) for one in found] == [
        (Box(1), "Box", 7, 0, 3),
        (New(3.0, NAMES), "Amount", 7, 1, 3),
        (New(1.0, NAMES), "Amount", 7, 2, 3),
    ]
    found[0].metadata["of"].append("mine")
    assert found[1].metadata == {"of": ["all"]}
    (dropped,) = split([])
    assert dropped.event is DROPPED
    assert (dropped.type, dropped.position) == ("Price", 7)
    (other,) = split(Stored("Box", {"content": "x"}))
    assert (other.event, other.type, other.parts) == (Box("x"), "Box", 1)


def test_a_copy_of_a_part_is_that_part() -> None:
    codec = Codec()
    codec.register(Box, "Box")
    found = split(Stored("Box", {"content": [1]}), Stored("Box", {"content": [2]}))
    copy = own_copy(codec, found[1])
    assert copy is not found[1]
    assert copy == found[1]
    assert (copy.part, copy.parts, copy == found[0]) == (1, 2, False)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (None, "returned None; it must return a dict of fields, a Stored, or a list of them"),
        (Stored("Nothing", {}), "but no event is stored as 'Nothing'"),
        (Stored("Box", {}, 2), "but Box has only version 1"),
        (Stored("Amount", {}, 4), "but Amount has the versions 1 to 3"),
        (Stored("Box", [1]), "whose fields are not a dict"),
        (Stored("Box", {"wrong": 1}), "does not fit: "),
        ([3], "returned a list with 3 in it"),
        ({"cents": 1}, "returned fields, but no class is registered as Price"),
        (Stored("Price", {}), "upcasters go round in a circle"),
    ],
)
def test_a_wrong_result_is_told_with_the_upcaster_and_the_position(part: Any, message: str) -> None:
    with pytest.raises(UpcastFailed) as error:
        split(part)
    assert message in str(error.value)
    assert "of Price version 1 (here.py:1)" in str(error.value)
    assert error.value.__notes__ == ["in the event at position 7"]


def test_what_fails_or_does_not_fit_is_told_with_the_upcaster() -> None:
    def check(message: Any) -> None:
        if type(message.euros) is not float:
            raise ValueError("euros must be a float")

    for functions, message in (
        ((lambda fields: fields["none"],), r"upcaster .* of Price version 1 .* failed with KeyError: 'none'"),
        ((in_euros,), "of Price version 1 .* returned fields that do not fit Price: .*names"),
        ((in_euros, lambda fields: 3), "version 2 .* returned 3; it must return a dict of fields"),
        ((lambda fields: {"euros": "x", "names": []},), "do not fit Price: euros must be a float"),
        ((lambda fields: {"euros": 1.0, "names": {1, 2}},), "do not fit Price: cannot encode New.names"),
    ):
        old, new = codecs(*functions, check=check)
        with pytest.raises(UpcastFailed, match=message):
            new.decode(old.encode(Old(1)))


def test_a_split_inside_another_value_is_refused() -> None:
    old, new = codecs(lambda fields: [{"euros": 1.0, "names": []}] * fields["cents"], event=True)
    assert new.decode(old.encode(Box(Old(1)))) == Box(New(1.0, []))
    with pytest.raises(
        UpcastFailed, match="upcasters of Price made 2 events of one that is inside another value"
    ):
        new.decode(old.encode(Box(Old(2))))


def test_a_newer_version_and_a_marked_name_are_refused() -> None:
    _, newer = codecs(in_euros, with_names)
    _, older = codecs(in_euros)
    with pytest.raises(UnknownType, match=r"'Price@3' was written by a program with more upcasters of Price"):
        older.decode(newer.encode(New(1.0, [])))
    with pytest.raises(CodecError, match="'@' stands before the version"):
        Codec().register(Old, "Old@2")
