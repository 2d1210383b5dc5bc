"""Health and errors name what hangs or lags: with replicas in threads and in processes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import ConsistencyTimeout, Domain, System
from actors.health import Activity
from actors.process_managers import delivery_threads
from actors.worker_processes.parent.cpu_starvation import CpuStarvation
from tests import inside
from tests.helpers import PATIENCE, Threads, stop_process, wait_until
from tests.inside import worker_pids
from tests.system import hanging, yard
from tests.system.hanging import Come, Slow, Visits, hall
from tests.system.held import Held
from tests.system.yard import Count, TotalOf

QUICK: dict[str, Any] = {"busy_limit": 0.3, "decider_limit": 0.3, "lag_limit": 0.3}
WORKERS = pytest.mark.parametrize("workers", ["thread", "process"])


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """What hangs does so while this file is there."""
    hanging.sent.clear()
    path = tmp_path / "gate"
    path.touch()
    yield path
    path.unlink(missing_ok=True)


def opened(path: Path, domain: Domain = hall, **settings: Any) -> System:
    return System.open(path, domain, **{"replicas": 2, **QUICK, **settings})


def problem(system: System, *words: str) -> str:
    """The first problem that has all of these words, once there is one."""

    def found() -> str | None:
        problems = system.health().problems
        return next((one for one in problems if all(word in one for word in words)), None)

    return str(wait_until(found))


def running(system: System, kind: str, seconds: float = 0.0) -> Activity:
    """The longest call of a kind, once it has been running for so long."""

    def found() -> Activity | None:
        calls = [one for one in system.health().running if one.kind == kind and one.seconds >= seconds]
        return calls[0] if calls else None

    call = wait_until(found)
    assert isinstance(call, Activity)
    return call


def is_well(system: System) -> bool:
    return system.health().status == "ok"


# -- projections -----------------------------------------------------------------------------
@WORKERS
def test_a_projection_that_does_not_return_is_named_with_its_event_on_each_replica(
    store_path: Path, gate: Path, workers: Any
) -> None:
    with opened(store_path, workers=workers) as system:
        system.execute(Come("ann"))
        system.wait_applied(timeout=PATIENCE)
        wait_until(lambda: is_well(system))
        receipt = system.execute(Come("bob", "projection", str(gate)))
        for replica in system.replica_names:
            text = problem(
                system, f"the projection of book on {replica} has been at event Came at position 2"
            )
            assert text.endswith("that replica applies nothing else")
        assert system.health().status == "degraded"
        assert running(system, "projection").at == "at event Came at position 2"
        problem(
            system,
            "model other on replica-1 is",
            "and has stood still at position 1",
            "the thread of replica-1 has been at event Came at position 2 of model book",
        )
        model = next(one for one in system.health().replicas[0].models if one.name == "book")
        assert (model.state, model.applied, model.lag) == ("stalled", 1, 1)
        assert model.lag_seconds >= model.stalled_seconds > 0.1
        with pytest.raises(ConsistencyTimeout) as caught:
            system.query(Visits(), after=receipt, timeout=0.05)
        assert "book on replica-2 is at position 1: it has been at event Came at position 2 for" in str(
            caught.value
        )
        with pytest.raises(ConsistencyTimeout, match=r"other on replica-1 is at position 1: the thread of"):
            system.wait_applied(timeout=0.05)
        with pytest.raises(ConsistencyTimeout, match="it has been at event Came"):
            system.view(hanging.book, after=receipt, timeout=0.05)
        gate.unlink()
        assert system.query(Visits(), after=receipt, timeout=PATIENCE) == ["ann", "bob"]
        system.wait_applied(timeout=PATIENCE)
        wait_until(lambda: is_well(system))
        assert {one.state for one in system.health().replicas[0].models} == {"current"}


@WORKERS
def test_a_new_build_that_does_not_return_is_named_and_so_is_what_waits_for_it(
    store_path: Path, gate: Path, workers: Any
) -> None:
    gate.unlink()
    with opened(store_path, workers=workers, replicas=1) as system:
        system.execute(Come("bob", "projection", str(gate)))
        system.wait_applied(timeout=PATIENCE)
        gate.touch()
        system.rebuild(hanging.book)
        problem(system, "the projection of book on replica-1", "in its new build, version 1")
        with pytest.raises(
            ConsistencyTimeout, match=r"on replica-1 it is building at position 0 .* where it has been at"
        ):
            system.wait_rebuilt(hanging.book, timeout=0.05)
        gate.unlink()
        system.wait_rebuilt(hanging.book, timeout=PATIENCE)
        wait_until(lambda: is_well(system))


def test_a_replica_that_applies_nothing_is_told_as_one_that_stands_still(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    with opened(store_path) as system:
        held.hold("replica-2")
        system.execute(Come("ann"))
        text = problem(
            system, "model book on replica-2 is", "(1 event) behind and has stood still at position 0"
        )
        assert "replica-1" not in text
        held.release()
        system.wait_applied(timeout=PATIENCE)
        wait_until(lambda: is_well(system))


# -- the writer ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("hangs", "said"),
    [("decider", ""), ("evolver", ""), ("inline", "in inline model 'door' at event Came")],
)
def test_what_the_writer_runs_is_named(store_path: Path, gate: Path, hangs: str, said: str) -> None:
    with opened(store_path) as system:
        future = system.submit(Come("ann", hangs, str(gate)))
        text = problem(
            system, "Come on stream 'guest-ann'", "has been deciding for", "nothing else is handled"
        )
        assert said in text
        gate.unlink()
        future.result(PATIENCE)
        wait_until(lambda: is_well(system))


def test_a_commit_that_the_disk_does_not_take_is_told(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    with opened(store_path) as system:
        append = inside.log(system).append

        def stuck(*given: Any, **options: Any) -> Any:
            assert let_go.wait(PATIENCE)
            return append(*given, **options)

        monkeypatch.setattr(inside.log(system), "append", stuck)
        future = system.submit(Come("ann"))
        problem(system, "a commit has been under way for")
        let_go.set()
        future.result(PATIENCE)
        wait_until(lambda: is_well(system))


# -- what is called back ---------------------------------------------------------------------
def test_a_query_that_does_not_return_is_named_with_its_query_actor(store_path: Path, gate: Path) -> None:
    with opened(store_path) as system, Threads() as threads:
        threads.start(lambda: system.query(Slow(str(gate)), timeout=PATIENCE))
        problem(system, "query Slow has been running on replica-", ".query-1 for")
        gate.unlink()
        wait_until(lambda: is_well(system))


def test_a_consumer_s_callback_that_does_not_return_is_named_with_its_event(
    store_path: Path, gate: Path
) -> None:
    with opened(store_path) as system:
        system.execute(Come("ann"))
        handle = system.consume("mails", lambda _delivery: hanging.hang(str(gate)))
        problem(
            system, "consumer mails has been running for", "at event Came at position 1 of stream 'guest-ann'"
        )
        gate.unlink()
        wait_until(lambda: is_well(system))
        assert handle.close()
        assert not any(one.kind == "consumer" for one in system.health().running)


@pytest.mark.parametrize("kind", ["on_committed", "on_broadcast", "on_applied"])
def test_a_listener_that_does_not_return_is_named(store_path: Path, gate: Path, kind: str) -> None:
    with opened(store_path) as system:

        def listens(*_news: Any) -> None:
            hanging.hang(str(gate))

        getattr(system, kind)(listens)
        system.submit(Come("ann"))
        problem(system, f"listener {kind}", "has been running for", "listens")
        gate.unlink()
        system.wait_applied(timeout=PATIENCE)
        wait_until(lambda: is_well(system))


def test_a_future_s_callback_that_does_not_return_is_named(store_path: Path, gate: Path) -> None:
    with opened(store_path) as system:
        future = system.submit(Come("bob", "decider", str(gate)))
        other = threading.Event()
        future.add_done_callback(lambda _done: other.wait(PATIENCE))
        gate.unlink()
        problem(system, "callback of submit()'s future has been running for")
        other.set()
        wait_until(lambda: is_well(system))


@pytest.mark.parametrize("way", ["execute", "submit", "query"])
def test_middleware_that_does_not_return_is_named(store_path: Path, gate: Path, way: str) -> None:
    domain = Domain("around")

    @domain.state(stream="bell-{number}")
    class Bell:
        number: int

    @domain.event(Bell)
    class Rang:
        number: int

    @domain.command(Bell)
    class Ring:
        number: int

    domain.decide(Ring, state=None)(lambda _state, command: Rang(command.number))
    domain.evolve(Rang, state=None)(lambda _state, event: Bell(event.number))
    model = domain.read_model("bells")
    table = model.table("rows", key="number")

    @domain.query(reads=[model])
    class Rings:
        def run(self, view: Any) -> int:
            return len(view[table])

    @domain.around_query if way == "query" else domain.around_command
    def afterwards(_call: Any) -> Iterator[None]:
        yield
        hanging.hang(str(gate))

    calls: dict[str, Callable[[System], Any]] = {
        "execute": lambda system: system.execute(Ring(1), timeout=PATIENCE),
        "submit": lambda system: system.submit(Ring(1)).result(PATIENCE),
        "query": lambda system: system.query(Rings(), timeout=PATIENCE),
    }
    with opened(store_path, domain) as system, Threads() as threads:
        threads.start(calls[way], system)
        text = problem(system, "middleware around", "has been running for", "afterwards")
        assert ("query Rings" if way == "query" else "command Ring") in text
        gate.unlink()
        threads.join()
        wait_until(lambda: is_well(system))
        assert not any(one.kind == "middleware" for one in system.health().running)


# -- process managers ------------------------------------------------------------------------
def test_a_handler_that_does_not_return_is_named_with_its_event_and_instance(
    store_path: Path, gate: Path
) -> None:
    with opened(store_path) as system:
        system.execute(Come("ann", "handler", str(gate)))
        problem(
            system,
            "handler process manager 'greeter' has been running for",
            "at event Came at position 1, of instance 'ann'",
        )
        problem(system, "process manager greeter is", "(1 event) behind and has stood still at position 0")
        with pytest.raises(
            ConsistencyTimeout, match=r"handler process manager 'greeter' has been running for"
        ):
            system.wait_process_managers(timeout=0.05)
        gate.unlink()
        system.wait_process_managers(timeout=PATIENCE)
        wait_until(lambda: is_well(system))


def test_an_effect_that_hangs_is_named_and_holds_up_its_own_instance_alone(
    store_path: Path, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        delivery_threads.DeliveryThreads.__init__, "__defaults__", (delivery_threads.MAX_THREADS, 0.05)
    )
    monkeypatch.setattr("actors.process_managers.loaded_effects.MAX_LOADED", 8)
    with opened(store_path) as system:
        system.execute(Come("ann", "effect", str(gate)))
        system.execute_many([Come("ann") for _ in range(40)])
        system.execute_many([Come(f"guest-{number}") for number in range(20)])
        wait_until(lambda: len(hanging.sent) == 20)
        assert not any(one.startswith("ann ") for one in hanging.sent)
        problem(
            system, "effect of process manager 'greeter' has been running for", "'greet' of instance 'ann'"
        )
        with pytest.raises(ConsistencyTimeout, match=r"effect of process manager 'greeter' has been running"):
            system.wait_process_managers(timeout=0.05)
        gate.unlink()
        system.wait_process_managers(timeout=PATIENCE)
        wait_until(lambda: is_well(system))
        of_ann = [int(one.split()[1]) for one in hanging.sent if one.startswith("ann ")]
        assert of_ann == list(range(1, 42))
        assert len(hanging.sent) == 61


def test_an_actor_that_comes_back_does_not_deliver_again_what_still_hangs(
    store_path: Path, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        delivery_threads.DeliveryThreads.__init__, "__defaults__", (delivery_threads.MAX_THREADS, 0.05)
    )
    with opened(store_path) as system:
        system.execute(Come("ann", "effect", str(gate)))
        running(system, "effect", 0.1)
        assert system.kill("outbox-greeter", timeout=PATIENCE)
        system.execute(Come("bob"))
        wait_until(lambda: hanging.sent == ["bob 2"])
        gate.unlink()
        system.wait_process_managers(timeout=PATIENCE)
        assert hanging.sent == ["bob 2", "ann 1"]


def test_no_more_threads_deliver_than_may_and_one_that_comes_back_takes_the_rest(
    store_path: Path, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_threads.DeliveryThreads.__init__, "__defaults__", (2, 0.05))
    with opened(store_path) as system:
        system.execute_many([Come(name, "effect", str(gate)) for name in "abc"])
        wait_until(
            lambda: sum(one.kind == "effect" and one.seconds > 0.2 for one in system.health().running) == 2
        )
        assert hanging.sent == []
        gate.unlink()
        system.wait_process_managers(timeout=PATIENCE)
        assert len(hanging.sent) == 3


def test_closing_does_not_wait_for_an_effect_that_hangs_and_the_next_opening_delivers_it(
    store_path: Path, gate: Path
) -> None:
    system = opened(store_path)
    system.execute(Come("ann", "effect", str(gate)))
    running(system, "effect", 0.35)
    with Threads() as threads:
        threads.start(system.close)
    assert gate.exists()
    with opened(store_path) as system:
        [left] = system.effects("greeter")
        assert left.instance == "ann"
        gate.unlink()
        system.wait_process_managers(timeout=PATIENCE)
        assert system.effects("greeter") == []


# -- worker processes ------------------------------------------------------------------------
def yard_opened(path: Path, **settings: Any) -> System:
    return System.open(
        path, yard.yard, **{"replicas": 2, "workers": "process", "worker_limit": 3.0, **settings}
    )


def stopped_worker(system: System, name: str = "replica-1") -> int:
    pid = worker_pids(system)[name]
    stop_process(pid)
    return pid


@pytest.mark.kill
def test_a_worker_that_stands_still_is_told_killed_and_replaced_and_nothing_is_lost(store_path: Path) -> None:
    with yard_opened(store_path) as system:
        system.execute_many([Count("a") for _ in range(50)])
        system.wait_applied(timeout=PATIENCE)
        pid = stopped_worker(system)
        with Threads() as threads:
            for _ in range(4):
                threads.start(
                    lambda: [
                        system.query(TotalOf("a"), consistency="strong", timeout=PATIENCE) for _ in range(20)
                    ]
                )
            problem(system, f"worker process {pid} of replica-1 has not answered for")
            system.execute_many([Count("a") for _ in range(50)])
        wait_until(lambda: worker_pids(system).get("replica-1") not in (None, pid))
        assert system.wait_applied(timeout=PATIENCE) == 100
        wait_until(lambda: is_well(system))
        replica = next(one for one in system.health().actors if one.name == "replica-1")
        assert replica.restarts >= 1
        assert f"process {pid} of replica-1 did not answer for 3 s, and was killed" in str(replica.last_error)
        assert system.dump("replica-1", yard.counts) == system.dump("replica-2", yard.counts)


@pytest.mark.kill
def test_a_worker_that_is_starved_is_not_replaced_before_it_could_have_answered(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    let_run = threading.Event()

    def look(_starved: CpuStarvation, now: float) -> bool:
        looks.append(now)
        return not let_run.is_set()

    monkeypatch.setattr(CpuStarvation, "is_starved", look)
    with yard_opened(store_path, replicas=1, worker_limit=0.5) as system:
        pid = stopped_worker(system)
        # For much longer than the limit, as the supervisor's clock has it.
        wait_until(lambda: looks and looks[-1] - looks[0] > 1.5)
        assert worker_pids(system) == {"replica-1": pid}
        assert not any("has not answered" in one for one in system.health().problems)
        let_run.set()
        wait_until(lambda: worker_pids(system).get("replica-1") not in (None, pid))
        wait_until(lambda: is_well(system))


@pytest.mark.kill
def test_a_question_that_was_put_to_a_worker_that_stands_still_goes_to_another_before_it_is_replaced(
    store_path: Path,
) -> None:
    with yard_opened(store_path, worker_limit=6.0) as system, Threads() as threads:
        system.execute(Count("a"))
        system.wait_applied(timeout=PATIENCE)
        pid = stopped_worker(system)
        mailbox = inside.query_mailbox(system, "replica-1.query-1")

        def put() -> bool:
            threads.start(lambda: system.query(TotalOf("a"), consistency="strong", timeout=PATIENCE))
            return len(mailbox) > 0

        wait_until(put)
        threads.join()
        assert worker_pids(system)["replica-1"] == pid
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: is_well(system))
        assert worker_pids(system)["replica-1"] == pid
        assert system.query(TotalOf("a"), consistency="strong", timeout=PATIENCE) == 1


@pytest.mark.kill
def test_the_only_worker_is_replaced_too_and_its_question_is_asked_again(store_path: Path) -> None:
    with yard_opened(store_path, replicas=1) as system, Threads() as threads:
        system.execute(Count("a"))
        system.wait_applied(timeout=PATIENCE)
        pid = stopped_worker(system)
        answers: list[int] = []
        threads.start(
            lambda: answers.append(system.query(TotalOf("a"), consistency="strong", timeout=PATIENCE))
        )
        threads.join()
        assert answers == [1]
        assert worker_pids(system)["replica-1"] != pid


@pytest.mark.kill
def test_what_a_timeout_says_of_a_worker_that_stands_still(store_path: Path) -> None:
    with yard_opened(store_path, worker_limit=30.0) as system:
        pid = stopped_worker(system)
        receipt = system.execute(Count("a"))
        wait_until(lambda: inside.worker(system, "replica-1").silent > 0)
        with pytest.raises(
            ConsistencyTimeout, match=r"counts on replica-1 .* its worker process has not answered for"
        ):
            system.wait_applied(receipt, timeout=0.05)
        os.kill(pid, signal.SIGCONT)


@pytest.mark.kill
def test_a_worker_whose_projection_takes_long_is_not_replaced(store_path: Path, gate: Path) -> None:
    with opened(store_path, workers="process", replicas=1, worker_limit=3.0) as system:
        [pid] = worker_pids(system).values()
        receipt = system.execute(Come("ann", "projection", str(gate)))
        running(system, "projection", 4.0)
        gate.unlink()
        assert system.query(Visits(), after=receipt, timeout=PATIENCE) == ["ann"]
        assert list(worker_pids(system).values()) == [pid]


@pytest.mark.kill
def test_a_listener_that_hangs_does_not_make_the_worker_that_it_is_told_of_look_dead(
    store_path: Path, gate: Path
) -> None:
    with opened(store_path, workers="process", replicas=1, worker_limit=3.0) as system:
        [pid] = worker_pids(system).values()
        system.on_applied(lambda *_news: hanging.hang(str(gate)))
        system.execute(Come("ann"))
        running(system, "listener", 4.0)
        gate.unlink()
        assert system.query(Visits(), consistency="strong", timeout=PATIENCE) == ["ann"]
        assert list(worker_pids(system).values()) == [pid]
