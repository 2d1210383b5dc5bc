"""The domain, what its messages hold, and what runs around every command and query."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from enum import Enum
from typing import Any

from actors import Call, Domain

clinic = Domain("clinic")

asked: Counter[str] = Counter()
"""How often each query was asked, by the name of its class; noted by `count`."""


@clinic.enum
class Urgency(Enum):
    ROUTINE = "routine"
    SOON = "soon"
    NOW = "now"


@clinic.enum(name="Channel")
class ReachedBy(Enum):
    MAIL = "mail"
    PHONE = "phone"


@clinic.value
class Contact:
    by: ReachedBy
    address: str


@clinic.value(name="Slot")
class Slot:
    """A quarter of an hour of one doctor, numbered from the clinic's first day on."""

    doctor: str
    number: int


@clinic.around_command
def say_who(call: Call) -> Generator[None, Any, Any]:
    call.metadata.setdefault("desk", "front")
    yield


@clinic.around_query(order=5)
def count(call: Call) -> Generator[None, Any, Any]:
    asked[type(call.message).__name__] += 1
    answer = yield
    return answer
