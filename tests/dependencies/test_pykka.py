"""What actors here rely on in Pykka, tested with Pykka alone."""

from __future__ import annotations

import queue
import sys
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from tests.helpers import PATIENCE, wait_until


class Inbox(queue.SimpleQueue[Any]):
    """An inbox that calls a function once, just before a message is put."""

    before_put: Any = None

    def put(self, envelope: Any) -> None:  # type: ignore[override]
        hook, self.before_put = self.before_put, None
        if hook is not None:
            hook()
        super().put(envelope)


class Echo(pykka.ThreadingActor):
    use_daemon_thread = True

    @staticmethod
    def _create_actor_inbox() -> Any:  # type: ignore[override]
        return Inbox()

    def on_receive(self, message: Any) -> Any:
        if message == "exit":
            sys.exit()
        return message


class Steps(Echo):
    """Records the steps of its life that a supervised actor takes over."""

    def __init__(self, steps: list[str]) -> None:
        super().__init__()
        self.steps = steps

    def _actor_loop(self) -> None:
        self.steps.append("loop")
        super()._actor_loop()

    def _actor_loop_setup(self) -> None:
        self.steps.append("setup")
        super()._actor_loop_setup()

    def _actor_loop_teardown(self) -> None:
        self.steps.append("teardown")
        super()._actor_loop_teardown()

    def _handle_receive(self, message: Any) -> Any:
        self.steps.append(f"receive {message}")
        return super()._handle_receive(message)

    def _handle_failure(self, *failure: Any) -> None:
        self.steps.append(f"failure {failure[0].__name__}")
        super()._handle_failure(*failure)

    def on_receive(self, message: Any) -> Any:
        raise LookupError(message)


@pytest.fixture(autouse=True)
def all_stopped() -> Iterator[None]:
    yield
    pykka.ActorRegistry.stop_all(timeout=PATIENCE)


def test_the_inbox_is_made_by_a_method_and_read_one_envelope_at_a_time() -> None:
    actor = Echo.start()
    assert type(actor.actor_inbox) is Inbox
    assert actor.ask("hello", timeout=PATIENCE) == "hello"


def test_an_envelope_is_whatever_has_a_message_and_a_reply_to() -> None:
    class Own:
        message = "hello"
        reply_to = pykka.ThreadingFuture()

    Echo.start().actor_inbox.put(Own())  # type: ignore[arg-type]
    assert Own.reply_to.get(timeout=PATIENCE) == "hello"


def test_the_steps_of_an_actors_life_are_methods_of_these_names() -> None:
    steps: list[str] = []
    reference = Steps.start(steps)
    reference.tell("one")
    wait_until(lambda: steps[-1] == "teardown")
    assert steps == ["loop", "setup", "receive one", "failure LookupError", "teardown"]
    assert not reference.is_alive()


def test_an_ask_that_comes_while_the_actor_stops_is_never_answered() -> None:
    actor = Echo.start()
    inbox: Any = actor.actor_inbox
    inbox.before_put = lambda: actor.stop(block=True, timeout=PATIENCE)
    future = actor.ask("too late", block=False)
    assert not actor.is_alive()
    with pytest.raises(pykka.Timeout):
        future.get(timeout=0.05)
    assert actor.actor_inbox.qsize() == 1  # type: ignore[attr-defined]


def test_an_exit_in_one_actor_stops_all_of_them_and_is_not_answered() -> None:
    exits, bystander = Echo.start(), Echo.start()
    future = exits.ask("exit", block=False)
    assert bystander.actor_stopped.wait(PATIENCE)
    assert exits.actor_stopped.wait(PATIENCE)
    with pytest.raises(pykka.Timeout):
        future.get(timeout=0.05)
