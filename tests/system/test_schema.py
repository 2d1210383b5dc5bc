"""A store and the code that opens it next: what goes on silently, and what is refused with which words."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from actors import Domain, DomainError, System
from storage import EventLog
from tests import inside


class Shop:
    """A program in one of its versions; each option changes one thing."""

    def __init__(
        self,
        *,
        name: str = "shop",
        event: str = "PriceSet",
        field: tuple[str, Any] | None = None,
        default: Any = ...,
        price: Any = int,
        price_name: str = "price",
        stream: str = "product-{sku}",
        members: tuple[str, ...] = ("small", "big"),
        coin: dict[str, Any] | None = None,
        draft: dict[str, Any] | None = None,
        bare: bool = False,
        formerly: tuple[str, ...] = (),
        upcasts: dict[str, list[Callable[[Any], Any]]] | None = None,
    ) -> None:
        self.domain = shop = Domain(name)
        self.Size = shop.enum(name="Size")(Enum("Size", list(members)))  # type: ignore[arg-type]
        self.Coin = shop.value(name="Coin")(_fields("Coin", coin or {"cents": int}))
        self.Product = shop.state(stream=stream, name="Product")(_fields("Product", {"sku": str}))
        fields: dict[str, Any] = {"sku": str, price_name: price, "size": self.Size, "coin": self.Coin}
        if field is not None:
            fields[field[0]] = field[1]
        made = _fields("PriceSet", fields, {} if default is ... or field is None else {field[0]: default})
        self.PriceSet = shop.event(self.Product, state=None, name=event, formerly=formerly)(made)
        for read, functions in (upcasts or {}).items():
            gone = read not in {one.name for one in shop.declarations.classes}
            for version, function in enumerate(functions, 1):
                shop.upcast(read, version, gone=gone)(function)
        self.Draft = None
        if not bare:
            self.Draft = shop.event(self.Product, state=None, name="Draft")(
                _fields("Draft", draft or {"sku": str})
            )

    def priced(self, sku: str, price: Any = 1, size: str = "small") -> Any:
        return self.PriceSet(sku, price, self.Size[size], self.Coin(5))


def _fields(name: str, fields: dict[str, Any], defaults: dict[str, Any] | None = None) -> Any:
    return type(name, (), {"__annotations__": fields, **(defaults or {})})


@contextmanager
def opened(path: Path, shop: Shop, **options: Any) -> Iterator[System]:
    with System.open(path, shop.domain, replicas=1, **options) as system:
        yield system


def contents(path: Path) -> dict[str, bytes]:
    """The log, without the slots of LMDB's readers."""
    return {"data": (path / "data.mdb").read_bytes(), "names": repr(sorted(os.listdir(path))).encode()}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three prices, one of them of a big product, and no draft."""
    shop = Shop()
    with opened(tmp_path / "store", shop) as system:
        for sku, size in (("a", "small"), ("b", "small"), ("c", "big")):
            system.append(f"product-{sku}", [shop.priced(sku, 7, size)])
    return tmp_path / "store"


READABLE: dict[str, Callable[[], Shop]] = {
    "nothing": Shop,
    "a field with a default": lambda: Shop(field=("note", str), default="none"),
    "an optional field": lambda: Shop(price=int | None),
    "int to float": lambda: Shop(price=float),
    "a new member": lambda: Shop(members=("small", "big", "huge")),
    "an event that was never written changes": lambda: Shop(draft={"sku": int, "more": str}),
    "an event that was never written is gone": lambda: Shop(bare=True),
}


@pytest.mark.parametrize("change", READABLE)
def test_what_can_be_read_goes_on_silently(
    store: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(store, READABLE[change]()) as system:
        prices = [one.event.price for one in system.stream("product-a")]
        system.append("product-z", [_priced_in(system)])
    assert prices == [7]
    assert not [one for one in caplog.records if one.name == "onewriter.schema"]


def _priced_in(system: System) -> Any:
    """A price of the domain that the system was opened with."""
    classes = {one.name: one.cls for one in system.domain.declarations.classes}
    return classes["PriceSet"]("z", 1, next(iter(classes["Size"])), classes["Coin"](1))


REFUSED: dict[str, tuple[Callable[[], Shop], str, str]] = {
    "a field without a default": (
        lambda: Shop(field=("note", str)),
        "PriceSet",
        "event PriceSet has a new field 'note' without a default; 3 such events are stored; give it a "
        "default, "
        'or write @shop.upcast("PriceSet", 1) that adds it',
    ),
    "a renamed event": (
        lambda: Shop(event="PriceChanged"),
        "PriceSet",
        "event PriceSet has no class in this code; 3 such events are stored; if it is PriceChanged now, "
        "declare that with formerly='PriceSet' or name='PriceSet'",
    ),
    "a renamed field": (
        lambda: Shop(price_name="amount"),
        "PriceSet",
        "event PriceSet has no field 'price' any more, and a new field 'amount' of its type; 3 such "
        "events are "
        'stored; if it was renamed, write @shop.upcast("PriceSet", 1) that returns its fields with '
        "'amount' "
        "for 'price'",
    ),
    "another type": (
        lambda: Shop(price=date),
        "PriceSet",
        "event PriceSet has the field 'price' as date, which was int; 3 such events are stored; let it take "
        'both (int | date), or write @shop.upcast("PriceSet", 1) that converts it',
    ),
    "a member that is gone": (
        lambda: Shop(members=("small",)),
        "Size",
        "enum Size has no member big any more; 1 stored event holds it; keep it, or write "
        '@shop.upcast("Size", 1) that maps it to another member',
    ),
    "a value inside": (
        lambda: Shop(coin={"cents": int, "currency": str}),
        "Coin",
        "value Coin has a new field 'currency' without a default; 3 stored events hold it; give it a "
        "default, "
        'or write @shop.upcast("Coin", 1) that adds it',
    ),
    "another stream": (
        lambda: Shop(stream="goods-{sku}"),
        "Product",
        "state Product names its streams 'goods-{sku}', which were 'product-{sku}': every aggregate "
        "would start empty; 3 stored events are in such streams; write stream='product-{sku}' again; to move "
        "events to other streams, copy the store with `onewriter copy`",
    ),
    "another domain": (
        lambda: Shop(name="cinema"),
        "shop",
        "domain shop made what is stored, and this code is domain 'cinema'; it has 3 events; take the domain "
        "that made it, or another path; for a domain that was renamed, open with accept=['shop']",
    ),
}


@pytest.mark.parametrize("change", REFUSED)
def test_what_cannot_be_read_is_refused_and_nothing_is_changed(store: Path, change: str) -> None:
    make, name, text = REFUSED[change]
    before = contents(store)
    with pytest.raises(DomainError) as caught, opened(store, make()):
        pass
    [problem] = caught.value.problems
    location, colon, said = problem.partition(": ") if change != "another domain" else ("", "", problem)
    assert said == text
    if colon:
        assert location.startswith(f"{__file__}:")
    assert f"accept=[{name!r}]" in str(caught.value)
    assert contents(store) == before
    with opened(store, Shop()) as system:
        assert system.position == 3


@pytest.mark.parametrize("change", REFUSED)
def test_who_knows_better_names_it_once(store: Path, change: str, caplog: pytest.LogCaptureFixture) -> None:
    make, name, text = REFUSED[change]
    with opened(store, make(), accept=[name]) as system:
        assert system.position == 3
    assert any(text in one.message for one in caplog.records if one.name == "onewriter.schema")
    caplog.clear()
    with opened(store, make(), accept=[name]):
        pass
    with opened(store, make()):
        pass
    assert not [one for one in caplog.records if one.name == "onewriter.schema"]


MENDED: dict[str, Callable[[], Shop]] = {
    "a field without a default": lambda: Shop(
        field=("note", str), upcasts={"PriceSet": [lambda fields: {**fields, "note": "of old"}]}
    ),
    "a renamed event": lambda: Shop(event="PriceChanged", formerly=("PriceSet",)),
    "a renamed field": lambda: Shop(
        price_name="amount",
        upcasts={"PriceSet": [lambda fields: {"amount": fields.pop("price"), **fields}]},
    ),
    "another type": lambda: Shop(
        price=str, upcasts={"PriceSet": [lambda fields: {**fields, "price": str(fields["price"])}]}
    ),
    "a member that is gone": lambda: Shop(members=("small",), upcasts={"Size": [lambda member: "small"]}),
    "a value inside": lambda: Shop(
        coin={"cents": int, "currency": str},
        upcasts={"Coin": [lambda fields: {**fields, "currency": "EUR"}]},
    ),
    "an event that is dropped": lambda: Shop(event="PriceChanged", upcasts={"PriceSet": [lambda fields: []]}),
}


@pytest.mark.parametrize("change", MENDED)
def test_an_upcaster_or_a_former_name_mends_it(store: Path, change: str) -> None:
    for _ in range(2):
        with opened(store, MENDED[change]()) as system:
            found = [one.event for name in "abc" for one in system.stream(f"product-{name}")]
            assert len(found) == (0 if change == "an event that is dropped" else 3)
            assert system.position == 3
            before = inside.notes(system, b"schema/")
    with opened(store, MENDED[change]()) as system:
        assert inside.notes(system, b"schema/") == before


def test_what_has_no_upcaster_for_its_version_is_refused(store: Path) -> None:
    def noted(fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "note": "of old"}

    changed = Shop(field=("note", str), upcasts={"PriceSet": [noted]})
    with opened(store, changed) as system:
        # Version 2 is not written yet, so that it may change.
        assert system.position == 3
    with opened(store, Shop(field=("remark", str), upcasts={"PriceSet": [noted]})) as system:
        assert system.position == 3
    with opened(store, changed) as system:
        coin, size = changed.Coin(1), changed.Size["small"]
        system.append("product-z", [changed.PriceSet("z", 1, size, coin, "now")])
        assert set(dict(inside.notes(system, b"schema/written/"))) == {
            b"schema/written/PriceSet",
            b"schema/written/PriceSet@2",
        }
    with pytest.raises(DomainError, match="new field 'remark' of its type; 1 such event is stored"):
        opened(store, Shop(field=("remark", str), upcasts={"PriceSet": [noted]})).__enter__()
    with pytest.raises(DomainError, match="and this code knows versions up to 1; 1 such event"):
        opened(store, Shop()).__enter__()
    with pytest.raises(DomainError, match="has no class in this code; 4 such events are stored"):
        opened(store, Shop(event="Other", upcasts={"PriceSet": [lambda fields: []]})).__enter__()
    with pytest.raises(DomainError, match="value Coin has a new field 'currency' without a default"):
        opened(
            store, Shop(field=("note", str), coin={"currency": str}, upcasts={"PriceSet": [noted]})
        ).__enter__()


def test_every_mismatch_is_in_one_list(store: Path) -> None:
    changed = Shop(field=("note", str), price=date, stream="goods-{sku}", members=("big",))
    with (
        pytest.raises(DomainError, match="4 mismatches; nothing was changed") as caught,
        opened(store, changed),
    ):
        pass
    assert len(caught.value.problems) == 4
    assert "accept=['PriceSet', 'Size', 'Product']" in str(caught.value)
    with (
        pytest.raises(DomainError, match="3 mismatches") as caught,
        opened(store, changed, accept=["Size"]),
    ):
        pass


def test_a_name_that_nothing_has_is_no_mismatch_to_accept(store: Path) -> None:
    with (
        pytest.raises(DomainError, match="did you mean 'PriceSet'"),
        opened(store, Shop(), accept=["PriceSt"]),
    ):
        pass
    with pytest.raises(ValueError, match="accept="), opened(store, Shop(), accept="PriceSet"):
        pass
    with opened(store, Shop(), accept=["PriceSet"]):
        pass


def test_a_member_that_nothing_holds_may_go(tmp_path: Path) -> None:
    shop = Shop()
    with opened(tmp_path, shop) as system:
        system.append("product-a", [shop.priced("a")])
    with opened(tmp_path, Shop(members=("small",))) as system:
        assert system.stream("product-a")[0].event.size.name == "small"


def test_an_unchanged_domain_writes_nothing_when_it_opens(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    append = EventLog.append

    def noting(self: EventLog, events: Any, *rest: Any, notes: Any = (), **options: Any) -> None:
        notes = list(notes)
        written.extend(key for key, _ in notes if key.startswith(b"schema/"))
        append(self, events, *rest, notes=notes, **options)

    monkeypatch.setattr(EventLog, "append", noting)
    with opened(store, Shop()):
        assert written == []
    with opened(store, Shop(members=("small", "big", "huge"))):
        assert written == [b"schema/type/Size"]


def test_a_type_is_noted_with_its_first_event(tmp_path: Path) -> None:
    shop = Shop()
    with opened(tmp_path, shop) as system:
        log = inside.log(system)
        assert not log.notes(b"schema/written/")
        system.append("product-a", [shop.priced("a")])
        assert [key for key, _ in log.notes(b"schema/written/")] == [b"schema/written/PriceSet"]
        system.append("product-a", [shop.Draft("a")])  # type: ignore[misc]
        assert len(log.notes(b"schema/written/")) == 2


def test_a_default_that_older_events_need_stays(store: Path) -> None:
    with opened(store, Shop(field=("note", str), default="none")) as system:
        system.append("product-z", [_priced_in(system)])
    with pytest.raises(DomainError, match="has no default for the field 'note' any more"):
        opened(store, Shop(field=("note", str))).__enter__()


def test_a_store_without_a_schema_takes_that_of_its_first_opening(store: Path) -> None:
    forget_schema(store)
    with opened(store, Shop()) as system:
        assert system.position == 3
        assert inside.log(system).note(b"schema/domain") is not None
    # What is older than the schema is counted before it is refused.
    with pytest.raises(DomainError, match="3 such events are stored"), opened(store, Shop(price=date)):
        pass
    with opened(store, Shop(draft={"sku": int})):
        pass


def test_a_store_without_a_schema_is_not_taken_over_by_another_domain(store: Path) -> None:
    forget_schema(store)
    before = contents(store)
    with pytest.raises(DomainError, match="event PriceSet has no class in this code; 3 such events"):
        opened(store, Shop(name="cinema", event="Seen")).__enter__()
    assert contents(store) == before


def forget_schema(path: Path) -> None:
    """Make the store one of a version that kept no schema."""
    with opened(path, Shop()) as system:
        log = inside.log(system)
        keys = [key for key, _ in log.notes(b"schema/")]
        inside.put_notes(system, *((key, None) for key in keys))
