"""A domain is found by name, and told from another one by what its parts are."""

from __future__ import annotations

import dataclasses
import sys
import types
from typing import Any

import pytest

from actors import Domain, DomainError
from actors.worker_processes.wire.domain_import import (
    DomainLocation,
    differences,
    fingerprints,
    import_domain,
    locate_domain,
)
from tests.system import yard
from tests.system.tallies import Tallies


def test_a_domain_is_an_attribute_of_a_module_and_made_in_it() -> None:
    place = locate_domain(yard.yard)
    assert import_domain(place) is yard.yard
    assert "tests.system.yard" in place.modules


def test_the_modules_of_a_package_are_found_in_the_order_of_their_import() -> None:
    from actors.demo.shop import shop

    modules = list(locate_domain(shop).modules)
    assert {"actors.demo.shop.products", "actors.demo.shop.orders", "actors.demo.shop.queries"} <= set(
        modules
    )
    assert modules == [name for name in sys.modules if name in modules]


def test_what_no_other_process_can_import_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DomainError, match="no attribute of a module"):
        locate_domain(Tallies(1).domain)
    main = Domain("main")
    made: Any = type("Made", (), {"__module__": "__main__", "__annotations__": {}})
    main.value(made)
    module = types.ModuleType("elsewhere")
    module.main = main  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "elsewhere", module)
    with pytest.raises(DomainError, match=r"main module.*move it to a module of its own"):
        locate_domain(main)


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(DomainError, match=r"module 'no\.such'.*can't be imported"):
        import_domain(DomainLocation("no.such", "domain", ()))
    with pytest.raises(DomainError, match="no domain there"):
        import_domain(DomainLocation("tests.system.yard", "POISON", ()))


def test_a_domain_differs_from_another_one_in_the_parts_that_differ() -> None:
    def domain(*, price: Any = int, low: int = 0, handled: int = 1, table: str = "rows") -> dict[str, str]:
        made = Domain("made")
        model = made.read_model("model")
        rows = model.table(table, key="name")

        @made.event(state=None, stream="sales")
        class Sold:
            name: str
            price: Any

        Sold.__dataclass_fields__["price"].type = price  # type: ignore[attr-defined]

        @model.on(Sold)
        def sold(event: Sold, tables: Any) -> None:
            tables[rows].put({"name": event.name, "n": handled})

        @made.query(reads=model)
        class Low:
            def run(self, view: Any) -> int:
                return low

        return fingerprints(made.compile())

    assert differences(domain(), domain()) == []
    assert differences(domain(), domain(price=str)) == ["class Sold"]
    assert differences(domain(), domain(low=1)) == ["query Low"]
    assert differences(domain(), domain(handled=2)) == ["read model model version 1"]
    assert differences(domain(), domain(table="others")) == ["read model model version 1"]


def test_an_annotation_without_a_text_of_its_own_makes_no_difference() -> None:
    def made() -> dict[str, str]:
        domain = Domain("made")
        cls = dataclasses.make_dataclass("Made", [("field", int)], frozen=True)
        domain.value(cls)
        compiled = domain.compile()
        cls.__dataclass_fields__["field"].type = object()  # type: ignore[attr-defined]
        return fingerprints(compiled)

    one, other = made(), made()
    assert one == other
