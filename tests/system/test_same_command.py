"""The same id with the same command, whatever a release or another program makes of how it is put down."""

from __future__ import annotations

from dataclasses import field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from actors import CommandIdReused, Domain, Receipt, System
from actors.domain import compiler as compiling
from storage.codec.canonical import digest_of
from storage.codec.codec import Codec

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def place(receipt: Receipt) -> tuple[Any, ...]:
    """What tells a receipt; its events are of another class in each release."""
    return receipt.command_id, receipt.first, receipt.last, receipt.version


class Release:
    """A hotel as one release of a program declares it; from the second one on its classes have more
    fields.
    """

    def __init__(self, number: int) -> None:
        hotel = self.hotel = Domain("hotel")

        @hotel.state(stream="guest-{name}")
        class Guest:
            name: str

        @hotel.event(Guest)
        class CheckedIn:
            name: str

        @hotel.command(Guest)
        class Pay:
            name: str
            amount: Decimal
            rate: float
            at: datetime
            anything: Any

        if number == 1:

            @hotel.value
            class Wish:
                text: str

            @hotel.command(Guest)
            class CheckIn:
                name: str
                extras: dict[str, Any]
                wishes: tuple[Wish, ...]

            @hotel.event(state=None)
            class Rang:
                room: int
                extras: dict[str, int]
        else:

            @hotel.value
            class Wish:
                urgent: bool = field(default=False, kw_only=True)
                text: str

            @hotel.command(Guest)
            class CheckIn:
                name: str
                extras: dict[str, Any]
                wishes: tuple[Wish, ...]
                desk: str = "main"
                gifts: list[str] = field(default_factory=list)

            @hotel.event(state=None)
            class Rang:
                room: int
                extras: dict[str, int]
                times: int = 1

        hotel.decide(CheckIn, state=None)(lambda guest, command: CheckedIn(command.name))
        hotel.decide(Pay, state=None)(lambda guest, command: CheckedIn(command.name))
        hotel.evolve(CheckedIn, state=None)(lambda guest, event: Guest(event.name))
        self.CheckIn, self.Pay, self.Rang, self.Wish = CheckIn, Pay, Rang, Wish

    def ann(self, *wishes: str, **more: Any) -> Any:
        extras = more.pop("extras", {"bed": 1, "cot": 2})
        return self.CheckIn("ann", extras, tuple(self.Wish(text=wish) for wish in wishes), **more)


def test_a_retry_after_a_release_with_a_new_field_returns_the_first_receipt(store_path: Path) -> None:
    old, new = Release(1), Release(2)
    with System.open(store_path, old.hotel, replicas=1) as system:
        first = system.execute(old.ann("tea"), command_id="form-1")
        facts = system.append("bell", [old.Rang(7, {"a": 1, "b": 2})], command_id="ring-1")
    with System.open(store_path, new.hotel, replicas=1) as system:
        assert place(system.execute(new.ann("tea"), command_id="form-1")) == place(first)
        assert place(system.execute(new.ann("tea", desk="main", gifts=[]), command_id="form-1")) == place(
            first
        )
        again = system.append("bell", [new.Rang(7, {"b": 2, "a": 1})], command_id="ring-1")
        assert place(again) == place(facts)
        for other in (new.ann("tea", desk="side"), new.ann("tea", gifts=["pen"]), new.ann("tea", "milk")):
            with pytest.raises(CommandIdReused):
                system.execute(other, command_id="form-1")
        urgent = new.CheckIn("ann", {"bed": 1, "cot": 2}, (new.Wish(text="tea", urgent=True),))
        with pytest.raises(CommandIdReused):
            system.execute(urgent, command_id="form-1")
        with pytest.raises(CommandIdReused):
            system.append("bell", [new.Rang(7, {"b": 2, "a": 1}, 2)], command_id="ring-1")
        assert system.position == 2


def test_a_retry_after_a_release_that_takes_the_field_back_returns_the_first_receipt(
    store_path: Path,
) -> None:
    old, new = Release(1), Release(2)
    with System.open(store_path, new.hotel, replicas=1) as system:
        first = system.execute(new.ann("tea"), command_id="form-1")
    with System.open(store_path, old.hotel, replicas=1) as system:
        assert place(system.execute(old.ann("tea"), command_id="form-1")) == place(first)


def test_a_dict_in_another_order_is_the_same_command(store_path: Path) -> None:
    release = Release(1)
    mixed = {"x": [{"b": 1, "a": {2: "two", "1": "one", (1, 2): None}}], "y": frozenset({1, 2})}
    turned = {"y": frozenset({2, 1}), "x": [{"a": {(1, 2): None, "1": "one", 2: "two"}, "b": 1}]}
    with System.open(store_path, release.hotel, replicas=1) as system:
        first = system.execute(release.ann(extras=mixed), command_id="form-1")
        assert release.ann(extras=mixed) == release.ann(extras=turned)
        assert place(system.execute(release.ann(extras=turned), command_id="form-1")) == place(first)
        with pytest.raises(CommandIdReused):
            system.execute(release.ann(extras={**mixed, "y": None}), command_id="form-1")


def test_what_is_equal_is_the_same_command(store_path: Path) -> None:
    release = Release(1)
    pay = release.Pay
    first = pay("ann", Decimal("1.0"), 1.0, NOON, [0.0, True])
    equal = pay("ann", Decimal("1.00"), 1, NOON.astimezone(timezone(timedelta(hours=2))), [-0.0, Decimal(1)])
    assert first == equal
    with System.open(store_path, release.hotel, replicas=1) as system:
        receipt = system.execute(first, command_id="pay-1")
        assert system.execute(equal, command_id="pay-1") == receipt
        with pytest.raises(CommandIdReused):
            system.execute(pay("ann", Decimal("1.01"), 1.0, NOON, [0.0, True]), command_id="pay-1")


def test_commands_of_a_store_that_an_earlier_version_wrote_are_known(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = Release(1), Release(2)
    with monkeypatch.context() as patch:
        # Earlier versions took the digest of what is stored.
        patch.setattr(compiling, "CanonicalCodec", lambda codec, plain: codec)
        with System.open(store_path, old.hotel, replicas=1) as system:
            first = system.execute(old.ann(extras={"b": 1.0, "a": Decimal("1.0")}), command_id="form-1")
            facts = system.append("bell", [old.Rang(7, {"b": 1, "a": 2})], command_id="ring-1")
    for release in (old, new):
        with System.open(store_path, release.hotel, replicas=1) as system:
            same = release.ann(extras={"b": 1.0, "a": Decimal("1.0")})
            assert place(system.execute(same, command_id="form-1")) == place(first)
            with pytest.raises(CommandIdReused):
                system.execute(release.ann(extras={"b": 2.0, "a": Decimal("1.0")}), command_id="form-1")
    with System.open(store_path, old.hotel, replicas=1, accept=["Rang"]) as system:
        assert place(system.append("bell", [old.Rang(7, {"b": 1, "a": 2})], command_id="ring-1")) == place(
            facts
        )
        with pytest.raises(CommandIdReused):
            system.append("bell", [old.Rang(7, {"b": 1, "a": 3})], command_id="ring-1")


def test_the_digest_of_earlier_versions_is_that_of_the_stored_bytes() -> None:
    release = Release(1)
    codec: Codec = compiling.compile_domain(release.hotel.declarations).codec
    # As version 0.1.0 before this change wrote it.
    assert digest_of(codec.encode(release.ann("tea"))).hex() == "836eafdfae7c502954debcac"
