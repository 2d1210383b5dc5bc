from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from actors import (
    ConcurrencyConflict,
    ConsistencyTimeout,
    DeciderFailed,
    Domain,
    InvalidMessage,
    QueryFailed,
    Reader,
    Rejected,
    UnknownMessage,
)
from actors.testing import TestSystem, given, happened, open_system
from tests.bank_domain import (
    Account,
    BalanceOf,
    Deposit,
    Measured,
    Moved,
    Note,
    Noted,
    Notes,
    Open,
    Opened,
    Richest,
    Transfer,
    accounts,
    balances,
    bank,
    entries,
    journal,
)
from tests.helpers import Threads
from tests.system.held import Held

RICH_AND_POOR = [Opened("ann"), Moved("ann", 100), Opened("bob")]


# -- deciders ---------------------------------------------------------------------------------
def test_a_command_gives_events():
    given(bank).when(Open("ann")).then(Opened("ann"))


def test_events_of_several_streams_are_folded_and_read():
    given(bank, RICH_AND_POOR).when(Transfer("ann", "bob", 60)).then(Moved("ann", -60), Moved("bob", 60))


def test_events_are_given_one_by_one_and_in_lists():
    given(bank, Opened("ann"), [Moved("ann", 1), Moved("ann", 2)]).when(Transfer("ann", "ann", 3)).then(
        [Moved("ann", -3), Moved("ann", 3)]
    )


def test_a_decider_may_return_its_only_event():
    given(bank, Opened("ann")).when(Note("ann", "hello")).then(Noted("ann", "hello"))


def test_a_command_may_give_nothing():
    given(bank, Opened("ann")).when(Deposit("ann", 0)).then_nothing()


def test_a_refusal_is_claimed_by_its_code_and_its_details():
    poor = given(bank, RICH_AND_POOR)
    poor.when(Transfer("bob", "ann", 5)).rejected("balance.too_low", missing=5)
    poor.when(Transfer("bob", "eve", 5)).rejected("account.unknown")
    poor.when(Transfer("bob", "eve", 5)).rejected()


def test_validate_refuses_too():
    given(bank, Opened("ann")).when(Deposit("ann", -1)).rejected("amount.negative", amount=-1)


def test_other_errors_are_claimed_by_their_class():
    given(bank, Opened("ann")).when(Deposit("ann", "much")).raised(
        InvalidMessage, "Deposit.amount must be int"
    )
    given(bank).when(Opened("ann")).raised(UnknownMessage, "Opened is not a command")
    given(bank, Opened("ann")).when(Deposit("ann", 1), expected_version=7).raised(ConcurrencyConflict)


def test_claims_lead_on_to_the_next_command():
    (
        given(bank)
        .when(Open("ann"))
        .then(Opened("ann"))
        .when(Deposit("ann", 7))
        .then(Moved("ann", 7))
        .when(Open("ann"))
        .rejected("stream.exists")
        .then_rows(accounts, [{"owner": "ann", "balance": 7}])
    )


def test_one_given_serves_several_commands():
    opened = given(bank, Opened("ann"))
    opened.when(Deposit("ann", 1)).then(Moved("ann", 1))
    opened.when(Transfer("ann", "ann", 1)).rejected("balance.too_low")
    assert opened.state(Account, "ann") == Account("ann", 0)
    assert opened.state(Account, owner="eve") is None


def test_a_command_id_twice_gives_the_first_receipt():
    first = given(bank, Opened("ann")).when(Deposit("ann", 5), command_id="d-1")
    again = first.then(Moved("ann", 5)).when(Deposit("ann", 5), command_id="d-1")
    assert again.receipt == first.receipt
    assert len(again.then(Moved("ann", 5)).recorded) == 2


def test_events_bear_their_positions_versions_and_tags():
    recorded = given(bank, RICH_AND_POOR).recorded
    assert [(one.position, one.stream, one.version) for one in recorded] == [
        (1, "account-ann", 1),
        (2, "account-ann", 2),
        (3, "account-bob", 1),
    ]
    assert recorded[1].tags == ("money", "owner-ann")


def test_an_event_that_can_not_have_happened_is_refused():
    with pytest.raises(DeciderFailed, match="event Moved has no evolver for no state"):
        given(bank, Moved("ann", 1))
    with pytest.raises(UnknownMessage, match="is not an event"):
        given(bank, Open("ann"))


def test_a_fact_from_outside_names_its_stream():
    assert given(bank, happened(Measured(3), stream="sensor-1")).recorded[0].stream == "sensor-1"
    with pytest.raises(InvalidMessage, match="no stream of its own"):
        given(bank, Measured(3))
    with pytest.raises(InvalidMessage, match="it can't be appended to 'account-bob'"):
        given(bank, happened(Opened("ann"), stream="account-bob"))


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        happened(Opened("ann"), time=datetime(2024, 1, 1))


# -- deciders: the time and the metadata --------------------------------------------------------
def diary_of(seen: list[Any]) -> tuple[Domain, type, type]:
    """A domain whose decider notes the time and the metadata that it reads."""
    diary = Domain("diary")

    @diary.state(stream="day-{day}")
    class Day:
        day: str

    @diary.event(Day, state=None)
    class Written:
        day: str
        at: datetime

    @diary.command(Day)
    class Write:
        day: str

    @diary.decide(Write)
    def write(day: Any, command: Any, read: Reader):
        seen.append((read.now, read.metadata))
        yield Written(command.day, read.now)

    return diary, Write, Written


def test_a_decider_reads_the_time_that_its_events_get_and_the_command_s_metadata() -> None:
    seen: list[Any] = []
    diary, write, _ = diary_of(seen)
    tags = ["x"]
    with open_system(diary) as system:
        system.execute(write("monday"), metadata={"user": "ann", "tags": tags})
        system.execute(write("tuesday"))
        system.execute_many([write("wednesday"), write("thursday")])
        recorded = system.recorded_events()
    assert [now for now, _ in seen] == [one.time for one in recorded] == [one.event.at for one in recorded]
    assert all(now.tzinfo is UTC for now, _ in seen)
    assert [dict(metadata) for _, metadata in seen] == [{"user": "ann", "tags": ["x"]}, {}, {}, {}]
    given_ann = seen[0][1]
    with pytest.raises(TypeError, match="does not support item assignment"):
        given_ann["user"] = "bob"
    given_ann["tags"].append("y")
    assert recorded[0].metadata == {"user": "ann", "tags": ["x"]}
    assert tags == ["x"]


def test_a_test_says_when_a_command_is_decided() -> None:
    seen: list[Any] = []
    diary, write, written = diary_of(seen)
    zone = timezone(timedelta(hours=2))
    noon = datetime(2030, 6, 1, 12, tzinfo=zone)
    after = (
        given(diary).when(write("monday"), time=noon, metadata={"user": "ann"}).then(written("monday", noon))
    )
    assert seen[0][0] == after.recorded[0].time == noon
    assert seen[0][1] == {"user": "ann"}
    before = datetime.now(UTC) - timedelta(microseconds=1)
    [event] = after.when(write("monday")).events
    assert before <= event.at <= datetime.now(UTC)
    with pytest.raises(ValueError, match="time= needs a time zone"):
        given(diary).when(write("monday"), time=datetime(2030, 6, 1))


# -- deciders: failures show the difference ---------------------------------------------------
def test_other_events_fail_with_a_diff():
    with pytest.raises(AssertionError) as caught:
        given(bank, RICH_AND_POOR).when(Transfer("ann", "bob", 60)).then(Moved("ann", -60), Moved("bob", 61))
    assert str(caught.value).splitlines() == [
        "Transfer(owner='ann', to='bob', amount=60) gave other events:",
        "--- expected",
        "+++ actual",
        "@@ -1,2 +1,2 @@",
        " Moved(owner='ann', amount=-60)",
        "-Moved(owner='bob', amount=61)",
        "+Moved(owner='bob', amount=60)",
    ]


def test_a_long_event_is_compared_field_by_field():
    text = "a long text, " * 10
    with pytest.raises(AssertionError) as caught:
        given(bank, Opened("ann")).when(Note("ann", text)).then(Noted("bob", text))
    assert "\n-    owner='bob',\n+    owner='ann',\n     text='a long" in str(caught.value)


@pytest.mark.parametrize(
    ("expected", "line"),
    [([], "+Opened(owner='ann')"), ([Opened("ann"), Opened("ann")], "-Opened(owner='ann')")],
    ids=["one too many", "one missing"],
)
def test_too_many_or_too_few_events_fail(expected, line):
    with pytest.raises(AssertionError) as caught:
        given(bank).when(Open("ann")).then(*expected)
    assert line in str(caught.value).splitlines()


def test_events_where_a_refusal_was_expected_fail():
    with pytest.raises(
        AssertionError, match=r"expected to be rejected with 'x', and gave Opened\(owner='ann'\)"
    ):
        given(bank).when(Open("ann")).rejected("x")


def test_a_refusal_where_events_were_expected_fails_and_shows_it():
    with pytest.raises(AssertionError, match=r"code='balance.too_low', missing=5") as caught:
        given(bank, RICH_AND_POOR).when(Transfer("bob", "ann", 5)).then(Moved("bob", -5))
    assert isinstance(caught.value.__cause__, Rejected)
    with pytest.raises(AssertionError, match="was expected to give events"):
        given(bank, RICH_AND_POOR).when(Transfer("bob", "ann", 5)).then_nothing()


def test_another_code_other_details_or_another_error_fail():
    refused = given(bank, RICH_AND_POOR).when(Transfer("bob", "ann", 5))
    with pytest.raises(AssertionError, match=r"rejected with 'account\.unknown', and got"):
        refused.rejected("account.unknown")
    with pytest.raises(AssertionError, match=r"-\{'missing': 6\}\n\+\{'missing': 5\}"):
        refused.rejected("balance.too_low", missing=6)
    with pytest.raises(AssertionError, match=r"\+\{\}"):
        refused.rejected("balance.too_low", owner="bob")
    with pytest.raises(AssertionError, match="refused with ConcurrencyConflict, and failed with Rejected"):
        refused.raised(ConcurrencyConflict)
    with pytest.raises(AssertionError, match="is not in the text"):
        refused.raised(Rejected, "another text")


# -- read models and queries ------------------------------------------------------------------
def test_rows_are_claimed_in_any_order():
    given(bank, RICH_AND_POOR).then_rows(
        accounts, [{"balance": 0, "owner": "bob"}, {"owner": "ann", "balance": 100}]
    )


def test_no_rows_may_be_claimed():
    given(bank).then_rows(accounts, [])


def test_a_projection_sees_time_and_position():
    noon = datetime(2024, 2, 29, 12, tzinfo=UTC)
    given(bank, Opened("ann"), happened(Noted("ann", "hello"), time=noon)).then_rows(
        entries, [{"position": 2, "owner": "ann", "text": "hello", "time": noon}]
    )


def test_other_rows_fail_with_a_diff():
    with pytest.raises(AssertionError) as caught:
        given(bank, RICH_AND_POOR).then_rows(accounts, [{"owner": "ann", "balance": 99}])
    assert str(caught.value).splitlines() == [
        "table 'accounts' holds other rows:",
        "--- expected",
        "+++ actual",
        "@@ -1 +1,2 @@",
        "-{'balance': 99, 'owner': 'ann'}",
        "+{'balance': 100, 'owner': 'ann'}",
        "+{'balance': 0, 'owner': 'bob'}",
    ]


def test_a_view_reads_tables_as_queries_do():
    with given(bank, RICH_AND_POOR).view(balances) as view:
        assert [row["owner"] for row in view[accounts].range("balance", reverse=True)] == ["ann", "bob"]
        assert view[accounts].count("balance", equal=0) == 1
        assert view.position() == 3
        with pytest.raises(QueryFailed, match="none of the models open here"):
            view[entries]
    with given(bank, RICH_AND_POOR).view() as view:
        assert list(view[entries].all()) == []


def test_a_projection_that_raises_fails_the_test_with_its_traceback():
    with pytest.raises(AssertionError, match=r"journal failed on event 2, Noted\(") as caught:
        given(bank, Opened("ann"), Noted("ann", "poison")).view(journal)
    assert "in on_noted" in str(caught.value)


def test_a_query_is_answered():
    rich = given(bank, RICH_AND_POOR)
    assert rich.query(BalanceOf("ann")) == 100
    rich.asked(BalanceOf("eve")).answers(None)
    rich.asked(Richest(1)).answers([{"owner": "ann", "balance": 100}])
    given(bank, Opened("ann"), Noted("ann", "hi")).asked(Notes()).answers(["hi"])


def test_another_answer_fails_with_a_diff():
    with pytest.raises(AssertionError, match=r"-1\n\+100"):
        given(bank, RICH_AND_POOR).asked(BalanceOf("ann")).answers(1)
    with pytest.raises(AssertionError, match=r"\+\{'owner': 'bob', 'balance': 0\}"):
        given(bank, RICH_AND_POOR).asked(Richest()).answers([{"owner": "ann", "balance": 100}])


def test_wrong_query_parameters_and_foreign_tables_are_refused():
    with pytest.raises(InvalidMessage, match=r"BalanceOf\.owner must be str"):
        given(bank).query(BalanceOf(3))
    with pytest.raises(UnknownMessage, match="is not a query"):
        given(bank).query(Open("ann"))
    foreign = Domain("other").read_model("other").table("others", key="id")
    with pytest.raises(UnknownMessage, match="belongs to no read model of domain 'bank'"):
        given(bank).then_rows(foreign, [])


# -- whole systems ----------------------------------------------------------------------------
def test_a_whole_system_runs_and_goes_away():
    with open_system(bank, replicas=2) as system:
        system.execute(Open("ann"))
        system.execute(Deposit("ann", 5))
        assert system.query(BalanceOf("ann")) == 5
        assert system.query_many([BalanceOf("ann"), Richest()]) == [5, [{"owner": "ann", "balance": 5}]]
        assert asyncio.run(system.aquery(BalanceOf("ann"))) == 5
        with system.view(balances) as view:
            assert view[accounts].get("ann") == {"owner": "ann", "balance": 5}
        assert system.wait_applied() == 2
        assert [one.event for one in system.recorded_events()] == [Opened("ann"), Moved("ann", 5)]
        assert [one.position for one in system.recorded_events(after=1)] == [2]
        folder = Path(system.path)
        assert folder.is_dir()
    assert not folder.parent.exists()


def test_every_way_to_read_a_whole_system_is_strong(monkeypatch):
    held = Held(monkeypatch)
    ann, quick = BalanceOf("ann"), {"timeout": 0.05}
    reads = [
        lambda asked: asked.query(ann, **quick),
        lambda asked: asked.query_many([ann], **quick),
        lambda asked: asked.view(balances, **quick),
        lambda asked: asyncio.run(asked.aquery(ann, **quick)),
        lambda asked: asyncio.run(asked.aquery_many([ann], **quick)),
    ]
    with open_system(bank) as system:
        system.execute(Open("ann"))
        system.wait_applied()
        session = system.session()
        held.hold("replica-1")
        system.execute(Deposit("ann", 5))
        for read in reads:
            for asked in (system, session):
                with pytest.raises(ConsistencyTimeout):
                    read(asked)
        for read in (
            lambda: system.query_at(ann, **quick),
            lambda: asyncio.run(system.aquery_at(ann, **quick)),
        ):
            with pytest.raises(ConsistencyTimeout):
                read()
        assert system.query(ann, consistency="eventual") == 0
        assert system.query_at(ann, consistency="eventual") == (0, 1)
        seen = []
        with Threads() as threads:
            threads.start(lambda: seen.append(next(system.watch(ann))))
            with pytest.raises(ConsistencyTimeout):
                system.query(ann, **quick)
            held.release()
        assert seen == [5]


def test_recorded_events_are_claimed_with_a_diff():
    with open_system(bank) as system:
        receipt = system.execute(Open("ann"))
        system.execute(Deposit("ann", 5))
        system.then_recorded(Opened("ann"), Moved("ann", 5))
        system.then_recorded(Moved("ann", 5), after=receipt)
        with pytest.raises(
            AssertionError, match=r"-Moved\(owner='ann', amount=6\)\n\+Moved\(owner='ann', amount=5\)"
        ):
            system.then_recorded(Opened("ann"), Moved("ann", 6))


def test_pytest_takes_no_test_system_for_a_class_of_tests():
    assert TestSystem.__test__ is False


def test_a_system_that_can_not_open_leaves_no_folder(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ValueError, match="replicas"):
        open_system(bank, replicas=0)
    assert list(tmp_path.iterdir()) == []
