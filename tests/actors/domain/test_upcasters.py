"""Upcasters and former names as they are declared: mistakes are found when the domain is compiled."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from actors import Domain, DomainError


def stock() -> tuple[Domain, Any]:
    domain = Domain("stock")

    @domain.state(stream="item-{sku}")
    class Item:
        sku: str

    @domain.event(Item, state=None)
    class Priced:
        sku: str
        price: int

    return domain, Item


def same(fields: dict[str, Any]) -> dict[str, Any]:
    return fields


def problems(domain: Domain) -> list[str]:
    with pytest.raises(DomainError) as error:
        domain.compile()
    return [text.partition(": ")[2] for text in error.value.problems]


def test_each_mistake_in_an_upcaster_is_told_with_its_place() -> None:
    domain, _ = stock()
    domain.upcast("Prized")(same)
    domain.upcast("Priced", gone=True)(same)
    domain.upcast("Priced", 0)(same)
    domain.upcast("Priced")(lambda one, two: one | two)
    domain.upcast(Enum)(same)
    domain.upcast(3)(same)  # type: ignore[arg-type]
    found = problems(domain)
    assert "upcaster same of 'Prized': no class has this name; name one of this domain, or write" in found[0]
    assert "upcaster same of 'Priced': it has a class, at " in found[1]
    assert found[2].endswith("version must be an int from 1, got 0")
    assert "must take 1 positional parameter, has (one, two)" in found[3]
    assert found[4].startswith("upcaster same of Enum: it is no class of this domain")
    assert found[5].startswith("upcaster same of 3: it is no class of this domain")
    with pytest.raises(DomainError, match=r"test_upcasters\.py:\d+: upcaster same of 'Prized'"):
        domain.compile()


def test_versions_are_each_taken_once_from_1_without_a_gap() -> None:
    domain, _ = stock()
    for version in (1, 1, 3):
        domain.upcast("Priced", version)(same)
    twice, gap = problems(domain)
    assert twice.startswith("upcaster same of Priced: version 1 has one at ")
    assert gap.endswith(
        "it takes version 3, but nothing takes version 2; versions count from 1 without a gap"
    )


def test_former_names_are_names_of_nothing_else() -> None:
    domain, item = stock()

    @domain.event(item, state=None, formerly=("Priced", "Old", 7, "New@2", ""))
    class Renamed:
        sku: str

    @domain.event(item, state=None, formerly="Old")
    class Other:
        sku: str

    @domain.event(item, state=None, name="With@1")
    class Marked:
        sku: str

    found = problems(domain)
    assert "event Renamed: formerly='Priced' is the name of the event at " in found[0]
    assert [one.partition(" is not")[0] for one in found[1:4]] == [
        "event Renamed: formerly=7",
        "event Renamed: formerly='New@2'",
        "event Renamed: formerly=''",
    ]
    assert "event Other: formerly='Old' is the name of the event at " in found[4]
    assert "'@' stands before the version" in found[5]


def test_a_query_is_never_stored() -> None:
    domain, _ = stock()
    model = domain.read_model("prices")

    @domain.query(reads=model)
    class All:
        def run(self, view: Any) -> None: ...

    domain.upcast("All")(same)
    assert problems(domain) == [
        "upcaster same of 'All': a query is never stored, so there is nothing to read"
    ]


def test_snapshots_and_fingerprints_change_with_the_upcasters_of_what_is_folded() -> None:
    def compiled(upcaster: Any) -> tuple[str, str]:
        domain, item = stock()
        (_, event) = domain.declarations.classes
        model = domain.read_model("prices", fingerprint=True)
        model.table("rows", key="sku")

        @model.on(event.cls)
        def row(_event: Any, _tables: Any) -> None: ...

        if upcaster is not None:
            domain.upcast("Priced")(upcaster)
        done = domain.compile()
        return done.states[item].fingerprint, done.models["prices"].code

    none, first = compiled(None), compiled(same)
    assert compiled(None) == none
    assert compiled(same) == first
    other = compiled(lambda fields: fields | {"price": 0})
    for one in (0, 1):
        assert len({none[one], first[one], other[one]}) == 3
