"""Sessions that reply in JSON: a document for each statement, in a line of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from actors import System
from actors.demo.fulfilment import MemoryGateway, delivery, use_gateway
from actors.demo.shop import shop
from actors.repl import program
from actors.repl.commands.registered import META_COMMANDS
from actors.repl.commands.watch import end_watches
from actors.repl.render import JsonOutput
from actors.repl.shell import Shell

Replies = Callable[[System, str], list[dict[str, Any]]]
LAMP = 'ListProduct sku=lamp name="Desk lamp" category=light price=1999\n'


@pytest.fixture
def replies(capsys: pytest.CaptureFixture[str]) -> Replies:
    """Runs lines in a session that replies in JSON, without an error; returns the documents."""

    def run(system: System, text: str) -> list[dict[str, Any]]:
        shell = Shell(system, JsonOutput(), META_COMMANDS)
        code = program.run_lines(shell, BytesIO(text.encode()))
        end_watches(shell)
        shown = capsys.readouterr()
        assert (code, shown.err) == (0, "")
        return [json.loads(line) for line in shown.out.splitlines()]

    return run


def test_a_command_is_a_receipt_with_its_events(store_path: Path, replies: Replies) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        done, nothing = replies(
            system, f"{LAMP.strip()} --id=one\n# a comment\nRepriceProduct lamp 1999 --id=two\n"
        )
    event = done["receipt"]["events"][0]
    assert event.pop("time").startswith("20")
    assert (event.pop("causation_id"), event.pop("correlation_id")) == (None, None)
    assert done == {
        "receipt": {
            "command_id": "one",
            "first": 1,
            "last": 1,
            "position": 1,
            "stream": "product-lamp",
            "version": 1,
            "versions": {"product-lamp": 1},
            "events": [
                {
                    "position": 1,
                    "stream": "product-lamp",
                    "version": 1,
                    "type": "ProductListed",
                    "event": {"sku": "lamp", "name": "Desk lamp", "category": "light", "price": 1999},
                    "command_id": "one",
                    "command": "ListProduct",
                    "tags": [],
                    "metadata": None,
                }
            ],
        }
    }
    assert nothing["receipt"]["events"] == []
    assert nothing["receipt"]["version"] == 1


def test_a_query_is_its_result_with_the_position(store_path: Path, replies: Replies) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        _, cheapest, details, none = replies(
            system, f"{LAMP}Cheapest 5\nProductDetails lamp\nProductDetails bulb\n"
        )
    row = {"sku": "lamp", "name": "Desk lamp", "category": "light", "price": 1999, "description": ""}
    assert cheapest == {"query": "Cheapest", "result": [row], "position": 1}
    assert details["result"]["price"] == 1999
    assert none == {"query": "ProductDetails", "result": None, "position": 1}


def test_the_log_a_stream_and_what_is_followed_are_events(store_path: Path, replies: Replies) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        shown = replies(
            system,
            f"{LAMP}RestockProduct lamp 3\n:log\n:log 2\n"
            ":stream product-lamp 0 1\n:stream none\n:follow 1 --count=1\n",
        )
    log, after, stream, none, followed = shown[2:]
    assert [one["type"] for one in log["events"]] == ["ProductListed", "ProductRestocked"]
    assert (log["position"], after) == (2, {"events": [], "position": 2})
    assert (stream["stream"], [one["version"] for one in stream["events"]]) == ("product-lamp", [1])
    assert none == {"stream": "none", "events": []}
    assert followed["event"]["event"] == {"sku": "lamp", "quantity": 3}


def test_what_is_about_the_system_has_the_fields_of_its_health(store_path: Path, replies: Replies) -> None:
    with System.open(store_path, shop, replicas=2) as system:
        lamp, replicas, lag, health, consumers, rebuilds, skipped, managers = replies(
            system,
            f"{LAMP}:replicas\n:lag\n:health\n:consumers\n:rebuilds\n:skipped\n:process_managers\n",
        )
        assert lamp["receipt"]["position"] == 1
        assert [one["name"] for one in replicas["replicas"]] == ["replica-1", "replica-2"]
        assert replicas["position"] == 1
        assert {one["replica"] for one in lag["models"]} == {"replica-1", "replica-2"}
        assert set(lag["models"][0]) >= {"name", "version", "applied", "lag", "lag_seconds", "state"}
        assert set(health["health"]) == set(system.health().as_dict())
        assert (health["health"]["status"], health["health"]["writer"]["commands"]) == ("ok", 1)
    assert (consumers, rebuilds, skipped) == ({"consumers": []}, {"rebuilds": []}, {"skipped": []})
    assert managers == {"managers": []}


def test_process_managers_their_instances_and_effects_are_listed(store_path: Path, replies: Replies) -> None:
    use_gateway(MemoryGateway())
    with System.open(store_path, delivery, replicas=1) as system:
        shown = replies(
            system,
            "StockUp lamp 5\nPlaceOrder 1 ann lamp 1 1999\n:follow 0 --type=OrderShipped --count=1\n"
            ":process_managers\n:process_managers fulfilment\n:effects\n",
        )
    managers, instances, effects = shown[-3:]
    assert [one["name"] for one in managers["managers"]] == ["fulfilment"]
    assert instances["manager"] == "fulfilment"
    assert isinstance(instances["instances"], list)
    assert isinstance(effects["effects"], list)


def test_a_watch_has_a_document_for_each_answer_and_a_rebuild_one_for_its_end(
    store_path: Path, replies: Replies
) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        shown = replies(
            system,
            f"{LAMP}:watch Cheapest --background\nRepriceProduct lamp 5\n"
            ":unwatch\n:rebuild catalogue\n:token\n:quit\n",
        )
    watched = [one for one in shown if one.get("query") == "Cheapest"]
    assert [one["result"][0]["price"] for one in watched] == [1999, 5]
    assert {"unwatched": ["Cheapest"]} in shown
    rebuilt, token = shown[-2:]
    assert (rebuilt["rebuilt"], rebuilt["position"]) == ("catalogue", 2)
    assert token["position"] == 2
    assert token["token"]


def test_help_lists_what_there_is_with_fields_and_types(store_path: Path, replies: Replies) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        everything, one, meta = replies(system, ":help\n:help Cheapest\n:help kill\n")
    assert {command["name"] for command in everything["commands"]} == set(shop_commands())
    assert one["help"]["fields"] == [{"name": "limit", "type": "int", "default": "10"}]
    assert meta["help"] == {
        "name": ":kill",
        "kind": "meta command",
        "usage": ":kill NAME",
        "text": "Have an actor die; the supervisor brings it back, and nothing is lost.",
    }


def shop_commands() -> list[str]:
    return [one.name for one in shop.declarations.classes if one.kind == "command"]


def test_what_only_says_something_says_it_as_text_or_with_its_figures(
    store_path: Path, replies: Replies
) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        killed, unwatched = replies(system, ":kill sync\n:unwatch\n")
    assert killed == {"killed": "sync", "restarts": 1, "position": 0}
    assert unwatched == {"unwatched": []}


def test_an_error_is_a_line_of_text_on_standard_error(
    store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        shell = Shell(system, JsonOutput(), META_COMMANDS)
        assert program.run_lines(shell, BytesIO(b"Nonsense\n:health\n")) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("line 1: UsageError: there is no command or query Nonsense")
