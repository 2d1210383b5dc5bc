"""The shopping history in the repository."""

from __future__ import annotations

from collections import Counter
from importlib import resources

from actors import Rejected
from actors.demo.history import COMMANDS, history, read_commands, write_commands
from actors.demo.make_history import CUSTOMERS, invent_history
from actors.demo.shop import ListProduct


def test_the_file_holds_what_its_inventor_invents():
    assert list(history()) == list(invent_history())


def test_commands_come_back_from_a_file_as_they_went_in(tmp_path):
    invented = list(invent_history(seed=7))
    assert write_commands(tmp_path / "one.gz", invented) == len(invented)
    assert list(read_commands(tmp_path / "one.gz")) == invented
    write_commands(tmp_path / "two.gz", invented)
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()


def test_the_history_is_small_and_of_the_size_that_is_promised():
    commands = list(history())
    assert len(commands) == COMMANDS
    listed = [command for command in commands if isinstance(command, ListProduct)]
    assert len({product.category for product in listed}) == 8
    assert len(CUSTOMERS) == 60
    file = resources.files("actors.demo") / "data" / "history.jsonl.gz"
    assert len(file.read_bytes()) < 200_000


def test_a_limit_ends_the_history_early():
    assert list(history(10)) == list(history())[:10]


def test_the_shop_takes_most_of_the_history_and_rejects_some_with_reasons(plain):
    rejected: Counter[str] = Counter()
    for command in history():
        try:
            plain.execute(command)
        except Rejected as rejection:
            rejected[rejection.code] += 1
    assert {
        "product.unknown",
        "product.discontinued",
        "stock.insufficient",
        "order.exists",
        "order.cancelled",
        "price.not_positive",
    } <= rejected.keys()
    assert COMMANDS * 0.02 < sum(rejected.values()) < COMMANDS * 0.15
