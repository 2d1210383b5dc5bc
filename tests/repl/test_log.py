"""`:log` with filters, `:follow`, and tokens between sessions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import System
from actors.demo.shop import ListProduct, RestockProduct, shop
from tests.repl.conftest import Shown


@pytest.fixture
def system(store_path: Path) -> Iterator[System]:
    with System.open(store_path, shop, replicas=2) as opened:
        for sku in ("lamp", "bulb", "wick"):
            opened.execute(ListProduct(sku, sku, "light", 100))
        opened.execute(RestockProduct("lamp", 1))
        yield opened


def positions(output: str) -> list[str]:
    return [line.split()[0].rstrip(":") for line in output.splitlines() if line.lstrip()[:1].isdigit()]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (":log --stream=product-lamp", ["2", "1", "4"]),
        (":log --type=ProductListed", ["3", "1", "2", "3"]),
        (":log 1 1 --type=ProductListed", ["1", "2"]),
        (":log --category=product --type=ProductRestocked", ["1", "4"]),
    ],
)
def test_the_log_is_shown_through_filters(
    system: System, shown: Shown, line: str, expected: list[str]
) -> None:
    output, errors = shown(system, f"{line}\n")
    assert errors == ""
    assert positions(output) == expected


def test_the_last_of_the_wanted_events_are_shown_unless_a_position_is_given(
    system: System, shown: Shown
) -> None:
    output, _ = shown(system, ":log 0 2 --type=ProductListed\n")
    assert positions(output)[1:] == ["1", "2"]
    assert "the next ones: :log 2 with the same options" in output


def test_where_no_event_fits_that_is_said(system: System, shown: Shown) -> None:
    assert shown(system, ":log --stream=product-none\n")[0] == "no such events; the log ends at 4\n"
    assert shown(system, ":log 4 --stream=product-lamp\n")[0].startswith("no such events after position 4")


def test_events_are_followed_from_a_position_until_there_were_enough(system: System, shown: Shown) -> None:
    output, errors = shown(system, ":follow 1 --type=ProductListed --count=2\n")
    assert errors == ""
    assert positions(output) == ["2", "3"]
    assert output.splitlines()[0].startswith("2: product-bulb 1 ProductListed(sku=")


def test_following_ends_when_its_time_is_over(system: System, shown: Shown) -> None:
    assert shown(system, ":follow --seconds=0.01\n") == ("", "")


def test_what_is_written_while_following_in_the_background_is_shown_before_it_ends(
    system: System, shown: Shown
) -> None:
    output, errors = shown(
        system,
        ":follow --background --stream=product-lamp\nRestockProduct lamp 2\nRestockProduct bulb 3\n"
        "RestockProduct lamp 4\n:unwatch\nRestockProduct lamp 5\n:unwatch\n",
    )
    assert errors == ""
    followed = [line for line in output.splitlines() if line.split(":")[0].isdigit()]
    assert [line.split(":")[0] for line in followed] == ["5", "7"]
    assert "no longer watched: :follow" in output
    assert output.endswith("nothing is watched in the background\n")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (":follow --type=Nothing --count=1", "Nothing"),
        (":log --type=Nothing", "Nothing"),
        (":log --kind=a", ":log has no option --kind"),
        (":log --stream", "--stream needs a value: --stream=..."),
        (":follow -1", "AFTER counts from 0"),
        (":follow --count=0", "--count must be more than 0"),
        (":stream product-lamp --type=a", "it is written :stream NAME [AFTER] [LIMIT]"),
    ],
)
def test_filters_that_make_no_sense_are_refused(system: System, shown: Shown, line: str, error: str) -> None:
    output, errors = shown(system, f"{line}\n")
    assert error in errors
    assert output == ""


def test_a_session_goes_on_from_the_token_of_another(system: System, shown: Shown) -> None:
    token = shown(system, "RestockProduct lamp 2\n:token\n")[0].splitlines()[-1]
    output, errors = shown(system, f':token "{token}"\n')
    assert (output, errors) == ("this session sees position 5 and what comes after it\n", "")
    assert "InvalidToken" in shown(system, ":token nonsense\n")[1]
