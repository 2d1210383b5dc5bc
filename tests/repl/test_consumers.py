"""`:consumers`, `:parked` and `:replay`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import Delivery, System
from actors.demo.shop import ListProduct, RestockProduct, shop
from tests.helpers import wait_until
from tests.repl.conftest import Shown


class Mailer:
    """Fails on the lamp until it is mended."""

    def __init__(self) -> None:
        self.broken = True
        self.sent: list[int] = []

    def __call__(self, delivery: Delivery) -> None:
        if self.broken and delivery.stream == "product-lamp":
            raise ValueError("no paper")
        self.sent.append(delivery.position)


@pytest.fixture
def mailer() -> Mailer:
    return Mailer()


@pytest.fixture
def system(store_path: Path, mailer: Mailer) -> Iterator[System]:
    with System.open(store_path, shop, replicas=1) as opened:
        opened.execute(ListProduct("lamp", "Desk lamp", "light", 1999))
        opened.execute(RestockProduct("lamp", 1))
        opened.execute(ListProduct("bulb", "Bulb", "light", 199))
        opened.consume("mailer", mailer, max_deliveries=1)
        wait_until(lambda: opened.consumers()[0].position == opened.position)
        yield opened


def test_a_consumer_is_shown_with_what_it_parked(system: System, shown: Shown) -> None:
    output, errors = shown(system, ":consumers\n:parked mailer\n")
    assert errors == ""
    lines = output.splitlines()
    assert lines[0] == "1 consumer"
    assert lines[3].split() == ["mailer", "every", "event", "3", "0", "1", "0", "1", "0"]
    assert lines[4] == "1 stream parked by mailer"
    assert lines[7].startswith("product-lamp")
    assert lines[7].endswith("no paper")


def test_what_is_parked_is_delivered_again(system: System, mailer: Mailer, shown: Shown) -> None:
    mailer.broken = False
    output, errors = shown(system, ":replay mailer product-lamp\n")
    assert errors == ""
    assert output.startswith("1 stream of mailer will be delivered again")
    wait_until(lambda: sorted(mailer.sent) == [1, 2, 3])
    wait_until(lambda: not system.consumers()[0].replaying)
    assert (
        shown(system, ":parked mailer\n:replay mailer\n")[0].splitlines() == ["mailer has parked nothing"] * 2
    )


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (":parked", "NAME is missing: :parked NAME"),
        (":parked mailor", "there is no consumer mailor; did you mean mailer?; there are mailer"),
        (":replay nobody", "there is no consumer nobody; there are mailer"),
        (":replay mailer product-bulb", "mailer has not parked stream product-bulb"),
    ],
)
def test_names_that_are_not_there_are_refused(system: System, shown: Shown, line: str, error: str) -> None:
    assert error in shown(system, f"{line}\n")[1]


def test_a_store_without_consumers_says_so(tmp_path: Path, shown: Shown) -> None:
    with System.open(tmp_path / "other", shop, replicas=1) as system:
        assert shown(system, ":consumers\n")[0] == "this store has no consumers\n"
