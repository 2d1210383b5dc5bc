"""Corrections of stored events with a running system: planned, made in one commit, models rebuilt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from actors import CorrectionRefused, Domain, OpenedForReading, System, UnknownMessage, WrongThread
from tests import inside
from tests.helpers import wait_until
from tests.system.currencies import Balance, Noted, Paid, Pay, Sum, Waived, dollars, fill, shop, sums, texts

Workers = Literal["thread", "process"]
WORKERS = [pytest.param("thread"), pytest.param("process", marks=pytest.mark.slow)]


def summed(system: System) -> list[dict[str, int]]:
    """What each replica has."""
    found = []
    for name in system.replica_names:
        rows = system.dump(name, sums)["by_currency"]
        found.append({row["currency"]: row["sum"] for row in rows})
    return found


def corrected(system: System, through: Any = dollars, **selected: Any) -> Any:
    plan = system.plan_correction(through, **selected)
    return plan.apply(who="ann", why="all payments since March are in dollars")


def test_a_plan_shows_what_would_change_and_changes_nothing(store_path: Path) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        fill(system)
        plan = system.plan_correction(dollars)
        assert (plan.scanned, plan.count, dict(plan.types), plan.models) == (31, 30, {"Paid": 30}, ("sums",))
        assert len(plan.examples) == 10
        before, after = plan.examples[0]
        assert (before.event.currency, after.event.currency) == ("EUR", "USD")
        assert (before.position, before.time, before.tags) == (after.position, after.time, after.tags)
        assert plan.positions == tuple(range(1, 31))
        assert (system.corrections(), summed(system)) == ([], [{"EUR": 30}])
        assert system.stream("account-a0")[0].event.currency == "EUR"


@pytest.mark.parametrize("workers", WORKERS)
def test_a_correction_is_recorded_and_its_models_are_rebuilt(store_path: Path, workers: Workers) -> None:
    with System.open(store_path, shop, replicas=2, workers=workers) as system:
        fill(system)
        assert system.query(Sum("EUR")) == 30
        done = corrected(system)
        system.wait_rebuilt(sums, 60)
        system.wait_applied()
        assert (done.number, done.who, done.count, done.position) == (1, "ann", 30, 31)
        assert system.corrections() == [done]
        assert summed(system) == [{"USD": 30}] * 2
        assert (system.query(Sum("EUR")), system.query(Sum("USD"))) == (0, 30)
        assert {one.event.currency for one in system.stream("account-a0")} == {"USD"}
        assert [one.before.event.currency for one in system.corrected_events(1, limit=2)] == ["EUR"] * 2
        assert [one.after.event.currency for one in system.corrected_events(1, limit=2)] == ["USD"] * 2
        assert system.health().status == "ok"
    with System.open(store_path, shop, replicas=2, workers=workers) as system:
        system.wait_rebuilt(sums, 60)
        assert [one.reset_reason for one in system.health().replicas] == [None, None]
        assert summed(system) == [{"USD": 30}] * 2
        assert system.verify_log().findings == []


def test_aggregates_are_folded_from_the_corrected_events(store_path: Path) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        fill(system)
        corrected(system)
        receipt = system.execute(Balance("a0"))
        assert receipt.events[0].amount == 10
    with System.open(store_path, shop, replicas=1) as system:
        assert system.execute(Balance("a1")).events[0].amount == 10


def test_only_models_that_handle_a_changed_type_are_rebuilt(store_path: Path) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        fill(system)
        store = inside.store(system, "replica-1")
        active = store.active("texts").key, store.active("sums").key
        corrected(system)
        system.wait_rebuilt(sums, 60)
        assert store.active("texts").key == active[0]
        assert store.active("sums").key != active[1]


def test_a_model_that_handles_only_the_new_type_is_rebuilt_too(store_path: Path) -> None:
    def noted(recorded: Any) -> Any:
        return Waived("a0") if recorded.position == 1 else None

    with System.open(store_path, shop, replicas=1) as system:
        fill(system)
        done = corrected(system, noted)
        system.wait_rebuilt(sums, 60)
        system.wait_applied()
        assert (done.positions, summed(system)) == ((1,), [{"EUR": 29}])
        assert system.stream("account-a0")[0].type == "Waived"
    with System.open(store_path, shop, replicas=1) as system:
        assert (
            corrected(system, lambda one: Paid("a0", 5, "USD") if one.type == "Waived" else None).count == 1
        )
        system.wait_rebuilt(sums, 60)
        assert summed(system) == [{"EUR": 29, "USD": 5}]
        assert [one.positions for one in system.corrections()] == [(1,), (1,)]
        assert system.verify_log().findings == []


def test_types_streams_and_positions_select_the_events(store_path: Path) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        fill(system)
        assert system.plan_correction(dollars, types=Noted).scanned == 1
        assert system.plan_correction(dollars, streams=["account-a0", "account-a1"]).count == 20
        assert system.plan_correction(dollars, types=[Paid], after=10, until=12).positions == (11, 12)
        seen: list[tuple[int, int]] = []
        system.plan_correction(dollars, until=20, progress=lambda at, of: seen.append((at, of)))
        assert seen == [(20, 20)]
        with pytest.raises(UnknownMessage):
            system.plan_correction(dollars, types=[Pay])


def test_metadata_can_be_corrected(store_path: Path) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        fill(system, 3)
        done = corrected(system, lambda one: (None, {"by": "import"}), types=Paid)
        assert done.count == 3
        [one] = system.stream("account-a0")
        assert (one.event.currency, one.metadata) == ("EUR", {"by": "import"})


@pytest.mark.parametrize(
    ("through", "said"),
    [
        (lambda one: replace(one.event, account="other"), "would belong to stream 'account-other'"),
        (lambda one: replace(one.event, country="fr"), "would change its tags"),
        (lambda one: Pay("a0", 1, "USD"), "Pay is not an event"),
        (lambda one: "USD", "str is not an event"),
        (lambda one: 1 // 0, "ZeroDivisionError"),
        (lambda one: replace(one.event, amount="1"), "amount"),
    ],
)
def test_what_a_correction_must_not_do_is_refused(store_path: Path, through: Any, said: str) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        fill(system, 3)
        with pytest.raises(CorrectionRefused, match="position 1, of stream 'account-a0'") as refused:
            system.plan_correction(through, types=Paid)
        assert said in str(refused.value)


def test_a_plan_is_refused_where_it_would_change_nothing_or_came_too_late(store_path: Path) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        fill(system, 3)
        with pytest.raises(CorrectionRefused, match="changes nothing"):
            corrected(system, lambda one: one.event)
        late = system.plan_correction(dollars)
        corrected(system)
        with pytest.raises(CorrectionRefused, match="no longer, as this correction expects"):
            late.apply(who="bob", why="the same")
        for who, why in (("", "why"), ("who", " ")):
            with pytest.raises(ValueError, match="not empty"):
                late.apply(who=who, why=why)
        assert len(system.corrections()) == 1
        system.execute(Pay("a0", 1, "EUR"))
        assert [one.event.currency for one in system.stream("account-a0")] == ["USD", "EUR"]


def test_a_callback_of_the_writer_makes_no_correction(store_path: Path) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        fill(system, 3)
        plan, raised = system.plan_correction(dollars), []

        def applies(_first: int, _last: int) -> None:
            try:
                plan.apply(who="ann", why="no")
            except WrongThread as error:
                raised.append(error)

        system.on_committed(applies)
        system.execute(Pay("b", 1, "EUR"))
        wait_until(lambda: len(raised) == 1)
        assert system.corrections() == []


def test_a_reader_lists_corrections_and_makes_none(store_path: Path) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        fill(system, 3)
        corrected(system)
    with System.open(store_path, shop, mode="read", replicas=1) as reader:
        assert [one.count for one in reader.corrections()] == [3]
        plan = reader.plan_correction(lambda one: Waived("a0") if one.position == 1 else None)
        with pytest.raises(OpenedForReading):
            plan.apply(who="ann", why="no")


def test_commands_go_on_while_a_correction_is_made_and_models_are_rebuilt(store_path: Path) -> None:
    with System.open(store_path, shop, replicas=2) as system:
        fill(system)
        plan = system.plan_correction(dollars)
        futures = [system.submit(Pay("b", 1, "USD")) for _ in range(200)]
        plan.apply(who="ann", why="wrong currency")
        futures += [system.submit(Pay("b", 1, "USD")) for _ in range(200)]
        for one in futures:
            one.result(60)
        system.wait_rebuilt(sums, 60)
        system.wait_applied()
        wait_until(lambda: summed(system) == [{"USD": 430}] * 2)


def test_what_was_not_rebuilt_before_the_end_is_rebuilt_at_the_next_opening(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with System.open(store_path, shop, replicas=2) as system:
        fill(system)
        monkeypatch.setattr(system._runtime.rebuilds, "start", lambda _model: None)
        corrected(system)
        assert summed(system) == [{"EUR": 30}] * 2
    with System.open(store_path, shop, replicas=3) as system:
        system.wait_rebuilt(sums, 60)
        system.wait_applied()
        assert summed(system) == [{"USD": 30}] * 3
        assert [one.reset_reason for one in system.health().replicas] == [None] * 3


def test_a_build_that_was_begun_before_a_correction_is_begun_again(store_path: Path) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        fill(system)
        store = inside.store(system, "replica-1")
        first = store.start_build("sums").key  # nobody fills it
        assert not store.outdated("sums")
        corrected(system)
        system.wait_rebuilt(sums, 60)
        assert store.active("sums").key != first
        assert summed(system) == [{"USD": 30}]


def test_the_store_without_corrections_is_sound(store_path: Path) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        fill(system, 3)
        assert (system.corrections(), system.verify_log().findings) == ([], [])
        with system.view(texts) as view:
            assert view.version(texts) == 1


# -- inline models and upcasters -----------------------------------------------------------------------------
def test_events_of_an_inline_model_are_corrected_while_it_is_not_declared(store_path: Path) -> None:
    def declared(inline: bool) -> tuple[Domain, Any, Any]:
        desk = Domain("inline-desk")

        @desk.event(state=None, stream="payments")
        class Taken:
            currency: str

        if not inline:
            return desk, Taken, None
        totals = desk.read_model("totals", inline=True)
        rows = totals.table("rows", key="currency")

        @totals.on
        def on_taken(event: Any, tables: Any) -> None:
            before = tables[rows].get(event.currency) or {"number": 0}
            tables[rows].put({"currency": event.currency, "number": before["number"] + 1})

        on_taken.__annotations__["event"] = Taken
        return desk, Taken, (totals, rows)

    desk, taken, _ = declared(inline=True)
    with System.open(store_path, desk, replicas=1) as system:
        system.append("payments", [taken("EUR")] * 3)
        with pytest.raises(CorrectionRefused, match="inline model 'totals' handles events"):
            system.plan_correction(lambda one: taken("USD"))
    desk, taken, _ = declared(inline=False)
    with System.open(store_path, desk, replicas=1) as system:
        assert corrected(system, lambda one: taken("USD")).count == 3
    desk, taken, (totals, rows) = declared(inline=True)
    with System.open(store_path, desk, replicas=1) as system, system.view(totals) as view:
        assert [(row["currency"], row["number"]) for row in view[rows].all()] == [("USD", 3)]


def test_what_upcasters_made_of_one_event_is_corrected_as_it_is_now(store_path: Path) -> None:
    def declared(later: bool) -> tuple[Domain, Any]:
        desk = Domain("upcast-desk")
        if not later:

            @desk.event(state=None, stream="payments")
            class Taken:
                money: str

            return desk, Taken

        @desk.event(state=None, stream="payments", name="Taken")
        class TakenNow:
            amount: int
            currency: str

        @desk.upcast("Taken")
        def split(fields: Any) -> Any:
            amount, currency = fields["money"].split()
            return {"amount": int(amount), "currency": currency}

        return desk, TakenNow

    desk, taken = declared(later=False)
    with System.open(store_path, desk, replicas=1) as system:
        system.append("payments", [taken("10 EUR"), taken("20 USD")])
    desk, taken = declared(later=True)
    with System.open(store_path, desk, replicas=1) as system:
        done = corrected(
            system, lambda one: taken(one.event.amount, "USD") if one.event.currency == "EUR" else None
        )
        assert done.positions == (1,)
        assert [one.event for one in system.stream("payments")] == [taken(10, "USD"), taken(20, "USD")]
        [(before, after)] = system.corrected_events(1)
        assert (before.event, after.event) == (taken(10, "EUR"), taken(10, "USD"))
    with System.open(store_path, desk, replicas=1) as system:
        assert [one.event.currency for one in system.stream("payments")] == ["USD", "USD"]
        assert system.verify_log().findings == []
