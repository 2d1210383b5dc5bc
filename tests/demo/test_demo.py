"""The demo itself, on a small part of the history, and that its check would find a difference."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from io import StringIO

import pytest

from actors import System
from actors.__main__ import main
from actors.demo import report as reports
from actors.demo import run
from actors.demo.comparison import verify
from actors.demo.history import history
from actors.demo.report import PlainReport
from actors.demo.shop import ListProduct, shop
from actors.demo.shop.models import levels, stock
from actors.demo.tables import show_check, spread
from actors.demo.update_trace import trace_update
from actors.demo.visitors import KnownNames, visitors


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """What the demo says, in plain text."""
    said = StringIO()
    monkeypatch.setattr(run, "open_report", lambda as_json: PlainReport(said))
    return said


def test_the_demo_follows_an_update_replays_and_finds_every_replica_equal(out, store_path):
    interval = sys.getswitchinterval()
    assert main(["demo", "--limit", "700", "--replicas", "2", "--path", str(store_path)]) == 0
    said = out.getvalue()
    for part in (
        "sync: sent to the replicas",
        "search 3: sees the new name",
        "700 of 700 commands",
        "Rejected, by reason",
        "stock.insufficient",
        "lag p99",
        "Best-selling categories",
        "OK: all 2 replicas equal the log.",
        "In short",
        "OK: process manager: ",
        "OK: rebuild: ",
        "OK: result cache: ",
    ):
        assert part in said
    assert sys.getswitchinterval() == interval
    with System.open(store_path, shop, replicas=1) as system:
        assert system.position > 700


def test_the_demo_runs_with_replicas_in_processes(out):
    assert main(["demo", "--limit", "300", "--replicas", "2", "--workers", "process"]) == 0
    assert "with 2 replicas in processes and" in out.getvalue()
    assert "OK: all 2 replicas equal the log." in out.getvalue()


def test_a_history_without_an_order_is_shown_too(out):
    assert main(["demo", "--limit", "3", "--replicas", "1"]) == 0
    assert "OK: all 1 replicas equal the log." in out.getvalue()


def test_a_part_of_the_demo_that_went_wrong_fails_it(out, monkeypatch):
    monkeypatch.setattr(run, "show_delivery", lambda report, path: (False, "an order came to no end"))
    assert main(["demo", "--limit", "3", "--replicas", "1"]) == 1
    assert "WRONG: an order came to no end" in out.getvalue()


def test_the_demo_begins_with_a_fresh_store_only(out, tmp_path, capsys):
    (tmp_path / "something").write_text("of somebody's")
    assert main(["demo", "--path", str(tmp_path)]) == 2
    assert "is not an empty folder" in capsys.readouterr().err
    assert out.getvalue() == ""
    assert [path.name for path in tmp_path.iterdir()] == ["something"]


def test_a_limit_below_one_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--limit", "0"])
    assert "must be at least 1, not 0" in capsys.readouterr().err


def test_each_hop_comes_after_the_one_that_it_needs(tmp_path):
    at = {hop.where: hop.seconds for hop in trace_update(tmp_path / "store", 3)}
    assert len(at) == 10
    assert 0 < at["write database: on disk"] < at["sync: sent to the replicas"]
    assert at["write database: on disk"] < at["caller: has the receipt"]
    applied = [at[f"replica-{number}: in its tables"] for number in (1, 2, 3)]
    assert at["sync: sent to the replicas"] < min(applied)
    searches = [at[f"search {number}: sees the new name"] for number in (1, 2, 3)]
    assert at["write database: on disk"] < min(searches)


def test_a_replica_that_differs_from_the_log_is_found_out(store_path):
    said = StringIO()
    with System.open(store_path, shop, replicas=2) as system:
        system.execute_many([ListProduct(sku, sku, "lighting", 100) for sku in ("lamp", "bulb", "wick")])
        system.wait_applied()
        assert verify(system, shop.declarations.read_models)[1] == []
        honest = system.dump

        def lying(replica, model):
            tables = honest(replica, model)
            if (replica, model) == ("replica-2", stock):
                bulb, lamp, _ = tables[levels.name]
                tables[levels.name] = [{**bulb, "quantity": 1}, lamp, {**lamp, "sku": "ghost"}]
            return tables

        system.dump = lying
        compared, wrong = verify(system, shop.declarations.read_models)
        assert [line.partition(":")[0] for line in wrong] == ["replica-2, stock/levels"] * 3
        assert "('bulb',): the replica has" in wrong[0]
        assert "('ghost',): the replica has" in wrong[1]
        assert "('wick',): the replica lacks" in wrong[2]
        assert [one.wrong for one in compared if one.wrong] == [3]
        assert show_check(PlainReport(said), system) == 1
    assert "DIFFERENT: 3 rows" in said.getvalue()


def test_what_goes_wrong_in_the_thread_of_a_visitor_is_raised(store_path):
    known = KnownNames()
    known.enough.set()
    with (
        System.open(store_path, shop, replicas=1) as system,
        pytest.raises(IndexError),
        visitors(system, known, 1) as crowd,
    ):
        crowd[0].join(30)


def test_nothing_is_asked_before_there_is_something_to_ask_about(store_path):
    with System.open(store_path, shop, replicas=1) as system, visitors(system, KnownNames(), 2) as crowd:
        system.execute(ListProduct("lamp", "Lamp", "lighting", 100))
    assert [len(visitor.seconds) for visitor in crowd] == [0, 0]


def test_rich_and_plain_reports_say_the_same_things():
    rich, plain = StringIO(), StringIO()
    pytest.importorskip("rich")
    for report in (reports.RichReport(rich), PlainReport(plain)):
        report.heading("A heading")
        report.say("text [in brackets]")
        report.good("good")
        report.bad("bad")
        report.table("A table", ("name", "count", "took"), [("lamps", 1_000, reports.Duration(0.0025))])
        with report.progress("lines", 20) as moved:
            moved(20, "fast")
    for said in (rich.getvalue(), plain.getvalue()):
        for part in (
            "A heading",
            "text [in brackets]",
            "good",
            "bad",
            "A table",
            "count",
            "1,000",
            "2.50 ms",
            "lines",
        ):
            assert part in said


def test_a_report_in_json_has_a_document_a_line_with_plain_numbers():
    said = StringIO()
    report = reports.open_report(True, said)
    report.heading("A heading")
    report.say("text")
    report.good("  good")
    report.bad("bad")
    report.table(
        "A table",
        ("name", "count", "took", "price"),
        [("lamps", 1_000, reports.Duration(0.0025), Decimal("1.50"))],
    )
    with report.progress("lines", 20) as moved:
        moved(1, "slow")
        moved(20, "fast")
    assert [json.loads(line) for line in said.getvalue().splitlines()] == [
        {"heading": "A heading"},
        {"text": "text"},
        {"text": "good", "ok": True},
        {"text": "bad", "ok": False},
        {
            "table": "A table",
            "columns": ["name", "count", "took", "price"],
            "rows": [["lamps", 1000, 0.0025, "1.50"]],
        },
        {"progress": 20, "total": 20, "unit": "lines", "note": "fast"},
    ]


def test_without_rich_the_report_is_plain(monkeypatch):
    monkeypatch.setattr(reports, "find_spec", lambda name: None)
    assert isinstance(reports.open_report(False, StringIO()), PlainReport)


def test_figures_are_medians_percentiles_and_the_greatest():
    assert [str(one) for one in spread([])] == ["0.00 ms", "0.00 ms", "0.00 ms"]
    taken = spread([0.001 * number for number in range(1, 101)])
    assert [str(one) for one in taken] == ["51.00 ms", "100.00 ms", "100.00 ms"]


def test_questions_are_drawn_from_what_the_replay_has_seen():
    known = KnownNames()
    for command in history(600):
        known.notice(command)
    assert known.enough.is_set()
    assert len(known.categories) == 8
    assert len(known.skus) == len(known.names) > 100
