"""A rule about a name, and a list of one tenant, see no name and no tenant that goes on with a NUL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors import Domain, Rejected, System

desks = Domain("desks")


@desks.state(stream="desk-{desk}")
class Desk:
    desk: int


@desks.event(Desk)
class Let:
    desk: int
    tenant: bytes
    name: str


@desks.command(Desk)
class Take:
    desk: int
    tenant: bytes
    name: str


names = desks.read_model("names", inline=True)
by_name = names.table("by_name", key="desk", indexes=["name"])


@names.on
def on_let_named(event: Let, tables: Any) -> None:
    rows = tables[by_name]
    if rows.count("name", equal=event.name):
        raise Rejected("the projection met the name", code="taken.projection")
    rows.put({"desk": event.desk, "name": event.name})


@desks.decide
def take(desk: Desk | None, command: Take, read: Any) -> Any:
    if list(read[by_name].find("name", command.name)):
        raise Rejected("the decider met the name", code="taken")
    yield Let(command.desk, command.tenant, command.name)


@desks.evolve
def let(desk: Desk | None, event: Let) -> Desk:
    return Desk(event.desk)


tenants = desks.read_model("tenants")
lets = tenants.table("lets", key=("tenant", "desk"))
totals = tenants.table("totals", key="tenant")
of_tenant = lets.prepare(equal=1)


@tenants.on
def on_let(event: Let, tables: Any) -> None:
    tables[lets].put({"tenant": event.tenant, "desk": event.desk})
    tables[totals].put({"tenant": event.tenant, "desks": tables[lets].count(equal=event.tenant)})


@desks.query(reads=[tenants])
class Lists:
    tenant: bytes

    def run(self, view: Any) -> Any:
        found = [
            [row["desk"] for row in rows]
            for rows in (view[lets].find(None, self.tenant), of_tenant(view[lets], self.tenant))
        ]
        return *found, view[totals].get(self.tenant)["desks"]


TEXTS = ["a\0b", "a\0", "a", "a\0\xff", "\0", ""]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("names_first", [TEXTS, TEXTS[::-1]])
def test_names_and_tenants_that_begin_with_one_another_are_strangers(
    store_path: Path, names_first: list[str], together: bool
) -> None:
    commands = [Take(number, text.encode("latin-1"), text) for number, text in enumerate(names_first)]
    again = [Take(number + 100, b"", one.name) for number, one in enumerate(commands)]
    with System.open(store_path, desks, replicas=1) as system:
        if together:
            outcomes = system.execute_many([*commands, *again], return_exceptions=True)
        else:
            outcomes = [system.execute_many([one], return_exceptions=True)[0] for one in (*commands, *again)]
        assert [getattr(one, "code", "done") for one in outcomes] == ["done"] * 6 + ["taken"] * 6
        for one in commands:
            assert system.query(Lists(one.tenant), consistency="strong") == ([one.desk], [one.desk], 1)
