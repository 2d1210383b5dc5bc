"""Many stores behind one object: opened once on demand, closed when idle, never while somebody needs them."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from actors import (
    DamagedStore,
    Domain,
    ForkedProcess,
    InvalidTenantName,
    Overloaded,
    StoreFull,
    StoreLocked,
    System,
    SystemClosed,
    Systems,
    TenantsBusy,
    UnknownTenant,
)
from actors.tenants import housekeeping
from actors.tenants.wake_ups import WAKE_UPS
from tests.actors.tenants import parcels as domain
from tests.actors.tenants.parcels import Here, Receive, parcels
from tests.forked import Forked
from tests.helpers import Threads, quick_folder, wait_until


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as made:
        yield Path(made) / "tenants"


@pytest.fixture(autouse=True)
def no_gate() -> Iterator[None]:
    domain.gate.clear()
    yield
    domain.gate.set()


def open_now(systems: Systems) -> list[str]:
    """Those that are open, or on their way to be or not."""
    return [one.name for one in systems.health().tenants if one.state != "closed"]


def made(folder: Path, **settings: Any) -> Systems:
    return Systems(folder, parcels, **{"replicas": 1, **settings})


# -- opening -------------------------------------------------------------------------------------------------
def test_each_tenant_has_a_store_of_its_own_that_lasts(folder: Path) -> None:
    with made(folder) as systems:
        assert systems.names() == []
        for name in ("acme", "zeta.2", "b-1_x"):
            with systems.use(name) as system:
                system.execute(Receive(f"of {name}"))
        assert systems.names() == ["acme", "b-1_x", "zeta.2"]
        assert systems.open_names() == ["acme", "b-1_x", "zeta.2"]
        assert systems.get("acme").query(Here(), consistency="strong") == ["of acme"]
    with made(folder) as systems:
        assert systems.open_names() == []
        assert systems.get("zeta.2").query(Here()) == ["of zeta.2"]
    assert (folder / "acme").stat().st_mode & 0o777 == 0o700


def test_many_threads_that_ask_at_the_same_time_open_it_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    real = System.open
    together = threading.Barrier(8)
    monkeypatch.setattr(
        System, "open", lambda *given, **options: opened.append(given) or real(*given, **options)
    )

    def ask(_: int) -> int:
        together.wait(20)
        with systems.use("acme") as system:
            return id(system)

    with made(folder) as systems, ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert len(opened) == 1


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../acme",
        "a/b",
        "/etc",
        "Acme",
        "a b",
        "ä",
        ".hidden",
        "-x",
        "x" * 101,
        "a\0",
        "a\n",
        7,
        None,
    ],
)
def test_a_name_that_could_lead_elsewhere_is_refused_and_makes_nothing(folder: Path, name: Any) -> None:
    with made(folder) as systems:
        for call in (systems.use, systems.get, systems.drop):
            with pytest.raises(InvalidTenantName, match="a tenant's name"):
                call(name)
        with pytest.raises(ValueError, match="a tenant's name"):
            asyncio.run(systems.aget(name))
        assert os.listdir(folder) == []


def test_no_store_is_made_unless_the_policy_allows_it(folder: Path) -> None:
    with made(folder, create=lambda name: name.startswith("c-")) as systems:
        systems.get("c-1")
        with pytest.raises(UnknownTenant, match=r"no store for tenant 'd-1' in .*create= allows no new one"):
            systems.get("d-1")
    with made(folder, create=False) as systems:
        systems.get("c-1")
        with pytest.raises(KeyError, match="c-2"), systems.use("c-2"):
            pass
        assert systems.names() == ["c-1"]
        assert not (folder / "c-2").exists()


@pytest.mark.parametrize(
    ("settings", "kind", "text"),
    [
        ({"max_open": 0}, ValueError, "max_open= must be"),
        ({"max_open": True}, ValueError, "max_open= must be"),
        ({"idle": 0}, ValueError, "idle= must be"),
        ({"idle": "1 h"}, ValueError, "idle= must be"),
        ({"create": "yes"}, TypeError, "create= must be"),
        ({"keep_open": True}, TypeError, "keep_open= must be"),
        ({"timers": "often"}, ValueError, "timers= must be"),
        ({"replica": 2}, TypeError, "no option 'replica'"),
        ({"replicas_path": "/x"}, ValueError, "options_of="),
        ({"archives_path": "/x"}, ValueError, "options_of="),
        ({"options_of": 7}, TypeError, "options_of= must be"),
    ],
)
def test_what_is_no_setting_is_refused_at_once(
    folder: Path, settings: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        made(folder, **settings)
    assert not folder.exists()


# -- closing -------------------------------------------------------------------------------------------------
def test_a_store_is_closed_when_idle_and_opened_again_when_it_is_asked_for(folder: Path) -> None:
    with made(folder, idle=0.05) as systems:
        system = systems.get("acme")
        system.execute(Receive("p"))
        wait_until(lambda: open_now(systems) == [])
        with pytest.raises(SystemClosed):
            system.query(Here())
        assert systems.get("acme").query(Here()) == ["p"]


def test_a_leased_store_is_not_closed_however_long_it_is_idle(folder: Path) -> None:
    with made(folder, idle=0.02) as systems, systems.use("acme") as system:
        systems.get("other")
        wait_until(lambda: open_now(systems) == ["acme"])
        assert system.execute(Receive("p")).position == 1
        [tenant] = systems.health().tenants
        assert (tenant.leases, tenant.why_open) == (1, "it is leased")


def test_for_one_more_the_one_that_was_not_used_for_longest_is_closed(folder: Path) -> None:
    with made(folder, max_open=3) as systems:
        for name in ("a", "b", "c"):
            systems.get(name)
        systems.get("a")
        systems.get("d")
        assert systems.open_names() == ["a", "c", "d"]
        systems.get("c").execute(Receive("p"))
        wait_until(lambda: "c" in systems.open_names())
        systems.get("e")
        assert systems.open_names() == ["c", "d", "e"]


def test_with_all_of_them_in_use_one_more_waits_and_is_then_refused(folder: Path) -> None:
    with made(folder, max_open=2) as systems, ThreadPoolExecutor(1) as pool, systems.use("a"):
        with systems.use("b"):
            busy = r"max_open=2 .*a: it is leased; b: it is leased.*raise max_open"
            with pytest.raises(TenantsBusy, match=busy):
                systems.get("c", timeout=0.05)
            assert issubclass(TenantsBusy, Overloaded)
            waiting = pool.submit(systems.get, "c")
            wait_until(lambda: systems._pool._wanted)
            assert not waiting.done()
        assert waiting.result(20).position == 0
        assert systems.open_names() == ["a", "c"]


@pytest.mark.parametrize("idle", [300.0, 0.01])
def test_more_threads_than_places_all_get_their_turn(folder: Path, idle: float) -> None:
    def work(number: int) -> int:
        with systems.use(f"t-{number % 6}") as system:
            return system.execute(Receive(f"p-{number}")).position

    with made(folder, max_open=3, idle=idle) as systems:
        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(work, range(36)))
        for number in range(6):
            with systems.use(f"t-{number}") as system:
                assert len(system.query(Here(), consistency="strong")) == 6
        assert len(systems.open_names()) <= 3


@pytest.mark.parametrize("what", ["view", "consumer", "subscription", "command"])
def test_what_is_under_way_keeps_a_store_open(folder: Path, what: str) -> None:
    with Threads() as threads, made(folder, idle=0.02) as systems:
        with systems.use("acme") as system:
            system.execute(Receive("p"))
            if what == "view":
                used = system.view()
            elif what == "consumer":
                used = system.consume("mail", lambda delivery: None)
            elif what == "subscription":
                used = system.subscribe(after=99)
                threads.start(lambda: list(used))
                wait_until(lambda: system._parts.progress.is_awaited)
            else:
                used = system.submit(Receive("stuck"))
        reason = {
            "view": "a view is open",
            "consumer": "a consumer is open",
            "command": "commands are handled",
        }
        systems.get("other")
        wait_until(lambda: open_now(systems) == ["acme"])
        assert systems.health().tenants[0].why_open == reason.get(
            what, "a call, a subscription or a watch waits"
        )
        if what == "command":
            domain.gate.set()
            assert used.result(20).version == 1
        else:
            used.close()
        wait_until(lambda: open_now(systems) == [])


def test_keep_open_has_the_last_word_and_its_error_keeps_it_open(folder: Path) -> None:
    def keep(name: str, system: System) -> bool:
        return {"a": True, "b": False}[name]

    with made(folder, idle=0.02, keep_open=keep) as systems:
        for name in ("a", "b", "c"):
            systems.get(name)
        wait_until(lambda: open_now(systems) == ["a", "c"])

        def why(name: str) -> str | None:
            return {one.name: one.why_open for one in systems.health().tenants}[name]

        # Until its manager and its models have caught up with their checkpoints, that is the reason.
        wait_until(lambda: why("a") == "keep_open= says so")
        wait_until(lambda: "keep_open= failed: KeyError" in str(why("c")))


def test_a_store_that_its_user_closed_is_opened_again(folder: Path) -> None:
    with made(folder) as systems:
        systems.get("acme").close()
        assert systems.get("acme").execute(Receive("p")).position == 1


def test_closing_ends_all_of_them_and_refuses_more(folder: Path) -> None:
    systems = made(folder)
    kept = [systems.get(f"t-{number}") for number in range(20)]
    replies = [system.submit(Receive("p")) for system in kept]
    lease = systems.use("t-0")
    lease.__enter__()
    systems.close()
    systems.close()
    assert [reply.result(0).position for reply in replies] == [1] * 20
    lease.__exit__(None, None, None)
    for call in (systems.get, lambda name: systems.use(name).__enter__(), systems.drop):
        with pytest.raises(SystemClosed, match="tenants are closed"):
            call("t-0")
    for number in range(20):
        System.open(folder / f"t-{number}", parcels, replicas=1, managers=False).close()


def test_one_that_hangs_holds_up_neither_the_others_nor_closing_for_long(folder: Path) -> None:
    with made(folder, max_open=2, mailbox_size=1) as systems:
        stuck = systems.get("stuck").submit(Receive("stuck"))
        wait_until(lambda: systems.get("stuck")._parts.writer.activity)
        systems.get("stuck").submit(Receive("waits"))
        with pytest.raises(Overloaded):
            systems.get("stuck").execute(Receive("full"), timeout=0.01)
        for number in range(4):  # with one place left
            assert systems.get(f"t-{number}").execute(Receive("p")).position == 1
        systems.close(timeout=0.3)
        assert isinstance(stuck.exception(20), SystemClosed)
        domain.gate.set()


# -- one tenant's trouble ------------------------------------------------------------------------------------
def test_a_damaged_or_locked_store_concerns_its_tenant_alone(folder: Path) -> None:
    with made(folder) as systems:
        for name in ("bad", "good", "held"):
            systems.get(name).execute(Receive("p"))
    (folder / "bad" / "data.mdb").write_bytes(b"\xff" * 9000)
    with System.open(folder / "held", parcels, replicas=1) as elsewhere, made(folder) as systems:
        with pytest.raises(DamagedStore):
            systems.get("bad")
        with pytest.raises(StoreLocked), systems.use("held"):
            pass
        assert systems.get("good").query(Here()) == ["p"]
        health = systems.health()
        assert health.status == "degraded"
        assert [(one.name, one.state) for one in health.tenants] == [
            ("good", "open"),
            ("bad", "closed"),
            ("held", "closed"),
        ]
        assert health.problems[0].startswith("bad: DamagedStore: ")
        assert health.problems[1].startswith("held: StoreLocked: ")
        elsewhere.close()
        assert systems.get("held").query(Here()) == ["p"]
        assert len(systems.health().problems) == 1
        assert systems.health().as_dict()["tenants"][0]["health"]["position"] == 1


def test_waiters_for_an_opening_that_fails_get_its_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def failing(*_: Any, **__: Any) -> System:
        entered.set()
        leave.wait(20)
        raise DamagedStore("it is broken")

    with made(folder) as systems, ThreadPoolExecutor(3) as pool:
        monkeypatch.setattr(System, "open", failing)
        first = pool.submit(systems.get, "acme")
        entered.wait(20)
        others = [pool.submit(systems.get, "acme") for _ in range(2)]
        with pytest.raises(TenantsBusy, match=r"still opening after 0\.01 s"):
            systems.get("acme", timeout=0.01)
        leave.set()
        for one in (first, *others):
            assert str(one.exception(20)) == "it is broken"
        monkeypatch.undo()
        assert systems.get("acme").position == 0


def test_one_tenants_full_quota_does_not_hold_the_others(folder: Path) -> None:
    def fill(name: str) -> None:
        for number in range(60):
            systems.get(name).execute(Receive(str(number)), metadata={"note": "x" * 60_000})

    limits = {"small": {"map_size": 1 << 20}}
    with made(folder, options_of=lambda name: limits.get(name, {})) as systems:
        with pytest.raises(StoreFull, match="map"):
            fill("small")
        fill("large")
        assert len(systems.get("large").query(Here(), consistency="strong")) == 60
        assert systems.get("small").query(Here())


def test_a_wrong_answer_of_options_of_is_that_tenants_error(folder: Path) -> None:
    answers: dict[str, Any] = {"a": None, "b": {"nothing": 1}, "c": {"replicas": -1}, "d": {"replicas": 2}}
    with made(folder, options_of=answers.__getitem__) as systems:
        for name, text in (
            ("a", "must return a dict"),
            ("b", "no option 'nothing'"),
            ("c", "replicas= must"),
        ):
            with pytest.raises((TypeError, ValueError), match=text):
                systems.get(name)
        assert systems.get("d").replica_names == ["replica-1", "replica-2"]


# -- dropping ------------------------------------------------------------------------------------------------
def test_a_dropped_tenant_is_moved_away_and_can_begin_again(folder: Path) -> None:
    with made(folder) as systems:
        systems.get("acme").execute(Receive("p", 3600.0))
        moved = Path(systems.drop("acme"))
        assert moved.parent == folder / ".dropped"
        assert moved.name.startswith("acme-")
        assert systems.names() == []
        assert systems.health().waking == 0
        assert systems.get("acme").query(Here()) == []
        again = systems.drop("acme")
        assert again != str(moved)
        with pytest.raises(UnknownTenant, match="'acme'"):
            systems.drop("acme")
    with System.open(moved, parcels, replicas=1) as system:
        assert system.query(Here(), consistency="strong") == ["p"]


def test_a_tenant_in_use_is_not_dropped(folder: Path) -> None:
    with made(folder) as systems:
        with systems.use("acme"):
            with pytest.raises(TenantsBusy, match=r"in use after 0\.02 s \(1 leases\)"):
                systems.drop("acme", timeout=0.02)
            with ThreadPoolExecutor(1) as pool:
                dropped = pool.submit(systems.drop, "acme")
                assert not dropped.done()
                systems.get("acme").execute(Receive("p"))
                systems._pool.release(systems._pool._tenants["acme"])
                assert dropped.result(20)
                systems._pool.acquire("acme", 20, lease=True)
        other = systems.get("other")
        other.close()
        with System.open(folder / "other", parcels, replicas=1), pytest.raises(StoreLocked):
            systems.drop("other")
        assert "other" in systems.names()


# -- timers --------------------------------------------------------------------------------------------------
def test_a_closed_store_is_opened_when_its_timer_is_due(folder: Path) -> None:
    with made(folder, idle=0.05) as systems:
        with systems.use("acme") as acme, systems.use("other") as other:
            acme.execute(Receive("p", 0.3))
            other.execute(Receive("q"))
        wait_until(lambda: open_now(systems) == [])
        assert systems.health().waking == 1
        wait_until(lambda: systems.health().waking == 0 and open_now(systems) == [])
        assert systems.get("acme").query(Here(), consistency="strong") == []
        assert systems.get("other").query(Here()) == ["q"]


def test_a_timer_that_is_due_when_nobody_runs_fires_at_the_next_start(folder: Path) -> None:
    with made(folder) as systems:
        systems.get("acme").execute(Receive("p", 0.01))
    with made(folder) as systems:
        wait_until(lambda: open_now(systems) == ["acme"])
        wait_until(lambda: systems.get("acme").query(Here()) == [])


def test_stores_that_were_open_when_the_process_died_are_opened_by_the_next(folder: Path) -> None:
    with made(folder) as systems:
        systems.get("acme").execute(Receive("p", 0.01))
        # What is on disk now is what a killed process leaves.
        assert (folder / WAKE_UPS / "acme").read_text() == "0"
        shutil.copytree(folder / WAKE_UPS, folder / "kept")
    shutil.rmtree(folder / WAKE_UPS)
    (folder / "kept").rename(folder / WAKE_UPS)
    (folder / WAKE_UPS / "gone").write_text("0")
    (folder / WAKE_UPS / "Not A Name").write_text("0")
    with made(folder) as systems:
        wait_until(lambda: open_now(systems) == ["acme"])
        wait_until(lambda: not (folder / WAKE_UPS / "gone").exists())
        assert systems.names() == ["acme"]


def test_a_timer_of_a_process_that_was_killed_fires_in_the_next_one(folder: Path) -> None:
    with Forked("tests.actors.tenants.tenants_child", str(folder)) as child:
        assert child.stdout.readline() == "received\n"
        child.kill()
        child.wait(20)
    assert (folder / WAKE_UPS / "acme").read_text() == "0"
    with made(folder) as systems:
        wait_until(lambda: open_now(systems) == ["acme"])  # nobody asked for it
        wait_until(lambda: systems.get("acme").query(Here()) == [])


def test_timers_keep_a_store_open_or_are_left_alone_as_the_operator_says(folder: Path) -> None:
    with made(folder, idle=0.02, timers="keep") as systems:
        systems.get("acme").execute(Receive("p", 3600.0))
        systems.get("other")
        wait_until(lambda: open_now(systems) == ["acme"])
        assert systems.health().tenants[0].why_open == "a timer waits"
    with made(folder, idle=0.02, timers="ignore") as systems:
        systems.get("acme")
        wait_until(lambda: open_now(systems) == [])
        assert (folder / WAKE_UPS / "acme").read_text() != "0"


def test_a_store_that_can_not_be_woken_is_tried_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "TRY_AGAIN", 0.05)
    with made(folder) as systems:
        systems.get("acme").execute(Receive("p", 1.0))
    with (
        System.open(folder / "acme", parcels, replicas=1, managers=False) as elsewhere,
        made(folder) as systems,
    ):
        wait_until(lambda: systems.health().problems)
        assert "StoreLocked" in systems.health().problems[0]
        elsewhere.close()
        wait_until(lambda: open_now(systems) == ["acme"])


# -- asyncio and forks ---------------------------------------------------------------------------------------
def test_event_loops_use_tenants_as_threads_do(folder: Path) -> None:
    async def work(systems: Systems, number: int) -> int:
        async with systems.use(f"t-{number % 3}") as system:
            return (await system.aexecute(Receive(f"p-{number}"))).position

    async def main() -> None:
        async with made(folder, max_open=2) as systems:
            positions = await asyncio.gather(*(work(systems, number) for number in range(12)))
            assert all(positions)
            assert len(await (await systems.aget("t-0")).aquery(Here(), consistency="strong")) == 4
            cancelled = asyncio.create_task(work(systems, 2))
            await asyncio.sleep(0)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            wait = asyncio.get_running_loop().run_in_executor
            await wait(None, wait_until, lambda: not any(one.leases for one in systems.health().tenants))
        with pytest.raises(SystemClosed):
            await systems.aget("t-0")

    asyncio.run(main())


def test_a_forked_child_is_refused_and_touches_nothing(folder: Path) -> None:
    with made(folder) as systems:
        systems.get("acme").execute(Receive("p"))
        child = os.fork()
        if not child:
            refused = 0
            for call in (systems.get, lambda _: systems.close(), lambda name: systems.use(name).__enter__()):
                try:
                    call("acme")
                except ForkedProcess:
                    refused += 1
            os._exit(refused)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        assert systems.get("acme").query(Here(), consistency="strong") == ["p"]


def test_a_domain_with_a_mistake_is_told_of_when_a_tenant_is_opened(folder: Path) -> None:
    with pytest.raises(TypeError):
        Systems(folder, "no domain")  # type: ignore[arg-type]
    with Systems(folder, Domain("empty"), replicas=1) as systems:
        assert systems.get("acme").position == 0
