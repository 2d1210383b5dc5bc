"""Events that can't be decoded, in the shell: shown where they are, with why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import Domain, System
from tests.repl.conftest import Shown


def counters(*, gone: bool) -> tuple[Domain, type]:
    domain = Domain("counters")

    @domain.event(state=None)
    class Counted:
        number: int

    if not gone:

        @domain.event(state=None)
        class Gone:
            why: str

        return domain, Gone
    return domain, Counted


@pytest.fixture
def system(store_path: Path) -> Iterator[System]:
    domain, gone = counters(gone=False)
    with System.open(store_path, domain, replicas=1) as opened:
        opened.append("counter-1", [gone("lost")])
    domain, counted = counters(gone=True)
    with System.open(store_path, domain, replicas=1, accept=["Gone"]) as opened:
        opened.append("counter-1", [counted(1)])
        yield opened


@pytest.mark.parametrize("line", [":log", ":stream counter-1", ":log --category=counter"])
def test_the_events_around_it_are_shown_and_why_it_is_not(system: System, shown: Shown, line: str) -> None:
    output, errors = shown(system, f"{line}\n")
    assert errors == ""
    assert "Counted(number=1)" in output
    assert "declare the class again" in output


@pytest.mark.parametrize("line", [":follow 0 --count=2", ":follow 0 --background"])
def test_following_shows_it_with_type_position_and_why_and_goes_on(
    system: System, shown: Shown, line: str
) -> None:
    output, errors = shown(system, f"{line}\n:unwatch\n" if "background" in line else f"{line}\n")
    assert errors == ""
    first, second = (
        output.splitlines()[-2:]
        if "count" in line
        else [one for one in output.splitlines() if one[:3] in ("1: ", "2: ")]
    )
    assert first.startswith("1: counter-1 1 Gone can't be decoded: ")
    assert "declare the class again" in first
    assert second == "2: counter-1 2 Counted(number=1)"
