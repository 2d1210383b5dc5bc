"""Personal fields as they are declared: what is refused, and what is read once somebody is forgotten."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, NewType
from uuid import UUID

import pytest

from actors import Do, Domain, DomainError, InvalidMessage, Personal, SubjectForgotten

Email = Annotated[str, Personal(subject="customer")]
CustomerId = NewType("CustomerId", str)


def problems(*fields: tuple[str, Any], **options: Any) -> str:
    """What compiling a domain with an event of these fields says."""
    domain = Domain("shop")
    cls = type("Told", (), {"__annotations__": dict(fields), "__module__": __name__})
    domain.event(state=None, **options)(cls)
    with pytest.raises(DomainError) as error:
        domain.compile()
    return str(error.value)


def test_each_type_has_a_value_to_read_once_its_subject_is_forgotten() -> None:
    domain = Domain("shop")

    @domain.value
    class Size(Enum):
        S = 1
        UNKNOWN = 2

    @domain.event(state=None)
    class Told:
        customer: CustomerId
        number: UUID
        email: Email
        age: Annotated[int, Personal("customer")]
        weight: Annotated[float, Personal("customer")]
        rich: Annotated[bool, Personal("customer")]
        photo: Annotated[bytes, Personal("number")]
        balance: Annotated[Decimal, Personal("customer")]
        phone: Annotated[str | None, Personal("customer")]
        names: Annotated[list[str], Personal("customer")]
        pair: Annotated[tuple[str, int], Personal("customer", redacted=("", 0))]
        born: Annotated[date, Personal("customer", redacted=date(1, 1, 1))]
        size: Annotated[Size, Personal("customer", redacted=Size.UNKNOWN)]

    codec = domain.compile().codec
    found = {name: codec.decode(one.redacted) for name, one in codec.personal[Told].items()}
    assert found == {
        "email": "[forgotten]",
        "age": 0,
        "weight": 0.0,
        "rich": False,
        "photo": b"",
        "balance": Decimal(0),
        "phone": None,
        "names": [],
        "pair": ("", 0),
        "born": date(1, 1, 1),
        "size": Size.UNKNOWN,
    }
    assert domain.compile().events[SubjectForgotten].name == "SubjectForgotten"


def test_a_domain_without_personal_fields_has_nothing_of_it() -> None:
    domain = Domain("shop")

    @domain.event(state=None)
    class Told:
        customer: Annotated[str, "a note of another library"]

    compiled = domain.compile()
    assert compiled.codec.personal == {}
    assert compiled.codec.sealed is compiled.codec
    assert SubjectForgotten not in compiled.events


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (Annotated[str, Personal("nobody")], "it is not a field of the class"),
        (Annotated[str, Personal("value")], "that field is personal itself"),
        (Annotated[str, Personal("price")], "that field is of type Decimal; it must be str, int or UUID"),
        (Annotated[str, Personal], "Personal needs a subject"),
        (Annotated[str, Personal("who")] | None, "only around the whole type"),
        (list[Annotated[str, Personal("who")]], "only around the whole type"),
        (Annotated[date, Personal("who")], "give Personal(redacted=...) a value of type date"),
        (Annotated[int, Personal("who", redacted="gone")], "redacted='gone') is no value of type int"),
        (Annotated[Any, Personal("who", redacted=object())], "is no value of type Any"),
    ],
)
def test_a_mistake_is_found_when_the_domain_is_built(annotation: Any, says: str) -> None:
    assert says in problems(("who", str), ("price", Decimal), ("value", annotation))


@pytest.mark.parametrize("options", [{"stream": "told-{value}"}, {"tags": "told-{value}"}])
def test_a_name_that_is_stored_as_it_is_has_no_personal_part(options: dict[str, str]) -> None:
    said = problems(("who", str), ("value", Annotated[str, Personal("who")]), **options)
    assert "names the personal field 'value'" in said


def test_an_error_about_a_personal_value_does_not_tell_it() -> None:
    domain = Domain("shop")

    @domain.event(state=None)
    class Told:
        who: str
        value: Annotated[dict[str, int], Personal("who")]

    check = domain.compile().events[Told].check
    for value in ({"secret": "secret"}, "secret", {7: 7}):
        with pytest.raises(InvalidMessage, match="a personal value of type") as error:
            check(Told("ann", value))  # type: ignore[arg-type]
        assert "secret" not in str(error.value)


def test_the_key_of_an_instance_is_not_personal() -> None:
    domain = Domain("shop")

    @domain.event(state=None)
    class Told:
        who: str
        email: Annotated[str, Personal("who")]

    manager = domain.process_manager("mails", key="email", start="now")

    @manager.on
    def on_told(state: None, event: Told, do: Do) -> None:
        return None

    with pytest.raises(DomainError, match="personal field 'email' identifies the instance"):
        domain.compile()
