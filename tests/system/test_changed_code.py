"""Projections whose code changed while the model's version did not: said, and never mixed among replicas."""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path

import pytest

from actors import System
from tests import inside
from tests.helpers import wait_until
from tests.system import price_releases as releases
from tests.system.price_releases import Program

OLD, NEW = {"a": 1, "b": 2}, {"a": 10, "b": 20}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two prices, in two replicas."""
    program = Program(1)
    with System.open(tmp_path / "store", program.domain, replicas=2) as system:
        for sku, price in OLD.items():
            system.append(f"product-{sku}", [program.PriceSet(sku, price)])
        system.wait_applied()
    return tmp_path / "store"


def test_health_warns_of_changed_code_until_it_is_rebuilt(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = Program(10)
    with System.open(store, program.domain, replicas=2) as system:
        health = system.health()
        assert health.status == "ok"
        [warning] = health.warnings
        assert warning == (
            "the projections of read model prices changed, and its version is still 1: what they wrote "
            "before stays as it is; raise its version, or call rebuild()"
        )
        assert warning in [one.message for one in caplog.records if one.levelno == logging.WARNING]
        assert program.rows(system, "replica-1") == program.rows(system, "replica-2") == OLD
    with System.open(store, program.domain, replicas=2) as system:
        assert system.health().warnings == (warning,)
        system.rebuild(program.model, wait=True)
        wait_until(lambda: not system.health().warnings)
        assert program.rows(system, "replica-1") == program.rows(system, "replica-2") == NEW
    with System.open(store, program.domain, replicas=2) as system:
        assert not system.health().warnings


def test_a_raised_version_and_unchanged_code_are_no_reason_to_warn(store: Path) -> None:
    for program in (Program(1), Program(10, 2)):
        with System.open(store, program.domain, replicas=2) as system:
            assert not system.health().warnings


def test_a_replica_that_lost_its_files_never_mixes_with_the_others(store: Path) -> None:
    shutil.rmtree(store / "replicas" / "replica-2")
    go, threads = threading.Event(), set()

    def pause() -> None:
        threads.add(threading.get_ident())
        if len(threads) > 1:
            go.wait(10.0)

    program = Program(10, pause=pause)
    with System.open(store, program.domain, replicas=2) as system:
        wait_until(lambda: len(threads) == 2)
        assert [system.query(program.Prices()) for _ in range(20)] == [OLD] * 20
        go.set()
        wait_until(lambda: not system.health().warnings)
        system.wait_applied()
        assert program.rows(system, "replica-1") == program.rows(system, "replica-2") == NEW
        assert system.health().status == "ok"
    with System.open(store, program.domain, replicas=2) as system:
        assert not system.health().warnings


def test_a_replica_that_is_reset_while_it_serves_never_mixes_either(store: Path) -> None:
    go, threads = threading.Event(), set()

    def pause() -> None:
        threads.add(threading.get_ident())
        if len(threads) > 1:
            go.wait(10.0)

    program = Program(10, pause=pause)
    with System.open(store, program.domain, replicas=2) as system:
        inside.mark_damaged(system, "replica-2", "for the test")
        wait_until(lambda: len(threads) == 2)
        assert [system.query(program.Prices()) for _ in range(20)] == [OLD] * 20
        go.set()
        wait_until(lambda: not system.health().warnings)
        system.wait_applied()
        assert program.rows(system, "replica-1") == program.rows(system, "replica-2") == NEW


def test_a_store_that_lost_all_replicas_has_rows_of_the_new_code_alone(store: Path) -> None:
    shutil.rmtree(store / "replicas")
    program = Program(10)
    with System.open(store, program.domain, replicas=2) as system:
        wait_until(lambda: not system.health().warnings)
        system.wait_applied()
        assert program.rows(system, "replica-1") == program.rows(system, "replica-2") == NEW


@pytest.mark.parametrize("lost", ["before the opening", "while it serves"])
def test_a_worker_that_lost_its_rows_never_mixes_with_the_others(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    if lost == "before the opening":
        shutil.rmtree(store / "replicas" / "replica-2")
    monkeypatch.setenv(releases.HOLD, str(tmp_path))
    program = releases.second
    with System.open(store, releases.next_shop, replicas=2, workers="process") as system:
        if lost == "while it serves":
            inside.mark_damaged(system, "replica-2", "for the test")
        # One worker has filled its tables by the new code, and the other one waits in its rebuild.
        wait_until(lambda: (tmp_path / "waiting").exists())
        wait_until(lambda: program.rows(system, "replica-2") == NEW)
        assert [system.query(program.Prices()) for _ in range(20)] == [OLD] * 20
        (tmp_path / "go").touch()
        wait_until(lambda: not system.health().warnings)
        system.wait_applied()
        assert program.rows(system, "replica-1") == program.rows(system, "replica-2") == NEW
        assert system.health().status == "ok"
        assert [system.query(program.Prices()) for _ in range(20)] == [NEW] * 20
    with System.open(store, releases.next_shop, replicas=2) as system:
        assert not system.health().warnings
