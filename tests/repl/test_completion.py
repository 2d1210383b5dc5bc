"""What is offered while a line is typed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from actors.demo.shop import ListProduct, shop
from actors.repl.commands.registered import META_COMMANDS
from actors.repl.completion import Suggester
from actors.repl.render import PlainOutput
from actors.repl.shell import Shell
from actors.repl.vocabulary import Vocabulary
from actors.system.system import System

vocabulary = Vocabulary(shop)


class Names:
    """A system with two actors and three streams."""

    def actors(self) -> Iterable[str]:
        return ["replica-1", "sync"]

    def streams(self, prefix: str, limit: int) -> Iterable[str]:
        return [name for name in ("order-1", "product-a", "product-b") if name.startswith(prefix)][:limit]

    def models(self) -> Iterable[str]:
        return ["catalogue", "stock"]

    def consumers(self) -> Iterable[str]:
        return ["mailer"]

    def managers(self) -> Iterable[str]:
        return ["fulfilment"]


suggester = Suggester(vocabulary, META_COMMANDS, Names())


def offered(before: str) -> list[str]:
    return [one.text for one in suggester.suggest(before)]


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("Re", ["RepriceProduct", "RestockProduct", "RemoveFromCart"]),
        ("rep", ["RepriceProduct"]),
        (":l", [":lag", ":log"]),
        ("RepriceProduct ", ["sku=", "price=", "--expected-version=", "--id="]),
        ("RepriceProduct(", ["sku=", "price="]),
        ("RepriceProduct lamp ", ["price=", "--expected-version=", "--id="]),
        ("RepriceProduct price=5 ", ["sku=", "--expected-version=", "--id="]),
        ("RepriceProduct sku=lamp --i", ["--id="]),
        ("RepriceProduct --id=abc ", ["sku=", "price=", "--expected-version="]),
        ("ListProduct 'a b' \"c\" ", ["category=", "price=", "--expected-version=", "--id="]),
        (
            "PlaceOrder lines=[OrderLine(a, 1)] o1 ",
            ["customer=", "placed_at=", "--expected-version=", "--id="],
        ),
        ("RepriceProduct(lamp, pr", ["price="]),
        ("Cheapest --strong --", ["--after=", "--max-lag=", "--eventual"]),
        ("PlaceOrder lines=", ["OrderLine("]),
        ("PlaceOrder(o1, lines=[", ["OrderLine(", "SoldLine("]),
        ("PlaceOrder(o1, lines=[OrderLine(", ["sku=", "quantity="]),
        ("PlaceOrder(o1, lines=[OrderLine(lamp, ", ["quantity="]),
        ("PlaceOrder(o1, lines=[OrderLine(lamp, 2)], cu", ["customer="]),
        ("RemoveFromCart quantity=", ["none"]),
        (":kill ", ["replica-1", "sync"]),
        (":kill s", ["sync"]),
        (":kill sync ", []),
        (":rebuild ", ["catalogue", "stock", "--background"]),
        (":rebuild stock --b", ["--background"]),
        (":skip s", ["stock"]),
        (":skip stock ", []),
        (":parked ", ["mailer"]),
        (":replay mailer order", ["order-1"]),
        (":effects ", ["fulfilment"]),
        (":log --", ["--stream=", "--category=", "--type=", "--tag="]),
        (":log --type=ProductL", ["ProductListed"]),
        (":follow --stream=product-", ["product-a", "product-b"]),
        (":follow 5 --tag=a --c", ["--category=", "--count="]),
        (":stream product-", ["product-a", "product-b"]),
        (":help Order", ["Order", "OrderLine", "OrderPlaced", "OrderCancelled", "OrderStatus"]),
        (":help :q", [":quit"]),
        (":watch Ch", ["Cheapest"]),
        (":watch Cheapest ", ["limit=", "--count=", "--seconds=", "--background"]),
        (":watch Cheapest(", ["limit="]),
        (":watch Cheapest limit=1 --c", ["--count="]),
        ('ListProduct name="Re', []),
        ("Unknown sk", []),
        ("# Re", []),
    ],
)
def test_what_fits_the_place_is_offered(before: str, expected: list[str]) -> None:
    assert sorted(offered(before)) == sorted(expected)


def test_the_word_that_is_typed_is_replaced() -> None:
    (one,) = suggester.suggest("RepriceProduct sku=a PRI")
    assert (one.text, one.typed, one.note) == ("price=", 3, "int")


def test_the_terminal_gets_the_same_from_a_running_system(
    store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("prompt_toolkit")
    import sys

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document

    from actors.repl.interactive import LineCompleter

    with System.open(store_path, shop, replicas=1) as system:
        system.execute(ListProduct("lamp", "Desk lamp", "light", 1999))
        completer = LineCompleter(Shell(system, PlainOutput(sys.stdout, sys.stderr), META_COMMANDS))

        def completed(text: str) -> list[tuple[str, int]]:
            found = completer.get_completions(Document(text), CompleteEvent(completion_requested=True))
            return [(one.text, one.start_position) for one in found]

        assert completed("Chea") == [("Cheapest", -4)]
        assert completed(":stream prod") == [("product-lamp", -4)]
        assert completed(":kill comm") == [("command-handler", -4)]
        # Only what stands before the cursor counts.
        assert [
            one.text
            for one in completer.get_completions(
                Document("Chea limit=1", cursor_position=4), CompleteEvent(completion_requested=True)
            )
        ] == ["Cheapest"]
