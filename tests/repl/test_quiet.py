"""A shell on a store that exists looks at it, and changes nothing unless it is told to write."""

from __future__ import annotations

import json
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from actors import System
from actors.demo.shop import ListProduct, shop
from actors.repl import program
from tests.system.jobs import Begin, jobs_of
from tests.system.test_reading import contents
from tests.system.writing_child import writer

LAMP = "ListProduct lamp 'Desk lamp' light 1999\n"


@pytest.fixture
def store(store_path: Path) -> Path:
    with System.open(store_path, shop, replicas=1) as system:
        system.execute(ListProduct("mug-1", "Mug, blue", "kitchen", 850))
    return store_path


@pytest.fixture(autouse=True)
def _signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_end_in_order", lambda: None)


def run(text: str, *arguments: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", TextIOWrapper(BytesIO(text.encode())))
        return program.main([str(one) for one in arguments])


def test_it_reads_and_says_how_to_write(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(store)
    assert run("Cheapest 3\n:health\n:log\n", store, "--domain", "shop") == 0
    shown = capsys.readouterr()
    assert "Mug, blue" in shown.out
    assert shown.err == f"{store} is open for reading; --write opens it for writing\n"
    assert run(LAMP, store, "--domain", "shop") == 1
    error = capsys.readouterr().err.splitlines()[1]
    assert error.startswith("line 1: UsageError: ListProduct was not carried out")
    assert "--write" in error
    assert contents(store) == before


def test_the_first_answer_shows_all_that_was_in_the_log(
    store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        system.execute_many([ListProduct(f"mug-{one}", "Mug", "kitchen", 850) for one in range(500)])
    assert run("Cheapest 3\n", store_path, "--domain", "shop", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (len(answer["result"]), answer["position"]) == (3, 500), "its replica is filled from the log first"


def test_with_write_it_writes(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(LAMP, store, "--domain", "shop", "--write", "--replicas", 1) == 0
    assert run("Cheapest 3\n", store, "--domain", "shop", "--json") == 0
    assert "Desk lamp" in capsys.readouterr().out


def test_it_asks_for_the_domain_and_knows_its_name(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(store)
    for options in ([], ["--write"]):
        assert run("", store, *options) == 2
        error = capsys.readouterr().err
        assert "it was filled by a domain named 'shop'; give --domain" in error
        assert error.count("\n") == 1
    assert contents(store) == before


def test_a_new_store_is_made_as_before(store_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(LAMP, store_path, "--replicas", 1) == 0
    assert "for reading" not in capsys.readouterr().err
    assert (store_path / "data.mdb").exists()


def test_it_reads_beside_a_program_that_writes(store_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with writer(store_path) as other:
        other.ask(7)
        assert run("InTables --strong\n", store_path, "--domain", "tests.system.ledger:ledger") == 0
        assert "7" in capsys.readouterr().out
        assert other.ask(7) == 2


def test_without_managers_it_writes_and_none_of_them_runs(
    store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with System.open(store_path, jobs_of(), replicas=1, managers=False) as system:
        system.execute(Begin("one"))
    domain = "tests.repl.test_quiet:jobs"
    for options, instances in ((["--no-managers"], 0), ([], 1)):
        settings = [store_path, "--domain", domain, "--write", "--replicas", 1, *options]
        waited = "" if options else ":follow 0 --type=Worked --count=1\n"
        assert run(f"{waited}:process_managers\n", *settings, "--json") == 0
        shown = capsys.readouterr().out
        assert f'"instances": {instances}' in shown or f'"instances":{instances}' in shown


def test_of_managers_that_are_off_it_says_so_and_why(
    store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with System.open(store_path, jobs_of(), replicas=1, managers=False) as system:
        system.execute(Begin("one"))
    for options, why in (
        (["--write", "--no-managers"], "managers=False"),
        ([], "mode="),
        (["--write"], None),
    ):
        domain = ["--domain", "tests.repl.test_quiet:jobs"]
        assert run(":process_managers\n", store_path, *domain, *options) == 0
        table = capsys.readouterr().out.splitlines()
        states = [line.split()[-1] for line in table if line.startswith("worker ")]
        assert states == ["runs" if why is None else "off"]
        assert why is None or why in table[-1]


jobs = jobs_of()
