"""The base of every actor here: a Pykka actor on a mailbox that outlives it.

Each actor runs in a thread of its own. When that thread ends, for whatever reason, it
notifies the supervisor. A message that makes an actor fail is not handled twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import pykka

from actors.errors import WrongThread
from actors.kernel.mailbox import Mailbox, Request
from actors.kernel.running_calls import CallSlot
from storage import LimitReached
from storage.value_text import short_repr

__all__ = ["ActorKilled", "Kill", "SupervisedActor", "as_delivery_thread", "refuse_in_actor", "notify"]

logger = logging.getLogger("onewriter.actors")


class ActorKilled(Exception):
    """An operator or a test asked an actor to die."""


_threads: dict[int, tuple[str, object | None]] = {}
"""The actors' threads of this process, by identity, with the actor's name and None; and the threads that
deliver effects, with the process manager's name and their system, which alone may wait for them."""


def refuse_in_actor(call: str, system: object) -> None:
    """Raise `WrongThread` where a thread is about to wait for a system that perhaps waits for it.

    An actor may wait for no system: another one may wait for its own in the same way. An effect's handler
    runs in a thread that its own system alone may wait for, when it closes or comes to rest. `system` is that
    of the call.
    """
    found = _threads.get(threading.get_ident())
    if found is None:
        return
    name, own = found
    if own is None:
        raise WrongThread(
            f"{call}() was called in the thread of actor {name}, by a decider, an evolver, a "
            "projection, a query or "
            "a callback: it might wait for itself for ever; read with read() or the view that you are "
            "given, and "
            "execute from a thread of your own, after a subscription told you of an event"
        )
    if own is system:
        raise WrongThread(
            f"{call}() was called by the handler of an effect of {name}, on its own system, which "
            "perhaps waits for it: "
            "return the commands that it is to execute; another system's methods may be called"
        )


@contextmanager
def as_delivery_thread(name: str, system: object | None) -> Iterator[None]:
    """Count the current thread as one that delivers effects of `system`; for None, as an actor's. `name` is
    for errors.
    """
    _threads[threading.get_ident()] = name, system
    try:
        yield
    finally:
        del _threads[threading.get_ident()]


def notify(slot: CallSlot, listeners: Iterable[Callable[..., None]], *news: Any) -> None:
    """Call each listener, recorded in `slot`; an error of one is logged and goes no further."""
    for listener in listeners:
        slot.begin(listener)
        try:
            listener(*news)
        except Exception:
            logger.exception("listener %r failed on %r", listener, news)
        finally:
            slot.end()


class Kill(Request):
    """Ask an actor to die as if it had failed, between two messages."""

    __slots__ = ()


class SupervisedActor(pykka.ThreadingActor):
    """A supervised actor.

    `exited(name, error)` is called in the actor's own thread as its last act; `error` is
    None after an orderly stop.
    """

    use_daemon_thread = True

    def __init__(
        self, name: str, mailbox: Mailbox, exited: Callable[[str, BaseException | None], None]
    ) -> None:
        """Called in the thread that starts the actor."""
        self.name = name
        self.mailbox = mailbox
        self.failure: BaseException | None = None
        self._exited = exited
        super().__init__()

    def _create_actor_inbox(self) -> Any:  # type: ignore[override]
        return self.mailbox

    def _start_actor_loop(self) -> None:
        try:
            super()._start_actor_loop()
        except BaseException as error:
            # Pykka has it among the running ones already.
            pykka.ActorRegistry.unregister(self.actor_ref)
            if isinstance(error, RuntimeError):
                raise LimitReached(
                    f"no thread can be had for actor {self.name} ({error}): the process or the machine "
                    "has as many as "
                    "it may, or no memory for a further stack; open fewer replicas or query_actors, or "
                    "raise the limit "
                    "(ulimit -u, the container's limit of processes, threading.stack_size)"
                ) from error
            raise

    def _actor_loop(self) -> None:
        threading.current_thread().name = f"onewriter-{self.name}"
        _threads[threading.get_ident()] = self.name, None
        try:
            super()._actor_loop()
        finally:
            del _threads[threading.get_ident()]
            self._exited(self.name, self.failure)

    def _actor_loop_setup(self) -> None:
        try:
            self.on_start()
        except BaseException as error:
            self._handle_failure(type(error), error, error.__traceback__)

    def _actor_loop_teardown(self) -> None:
        """Leave the mailbox as it is: the next incarnation handles the messages in it."""

    def _handle_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.failure = exception_value
        pykka.ActorRegistry.unregister(self.actor_ref)
        self.actor_stopped.set()
        if not isinstance(exception_value, ActorKilled):
            logger.error(
                "actor %s failed and will be restarted",
                self.name,
                exc_info=(exception_type, exception_value, traceback),  # type: ignore[arg-type]
            )

    def _handle_receive(self, message: Any) -> Any:
        if message.__class__ is Kill:
            raise ActorKilled(f"actor {self.name} was killed on request")
        try:
            if isinstance(message, Request):  # Pykka would ask first whether it is one of its own kinds.
                return self.on_receive(message)
            return super()._handle_receive(message)
        except Exception:
            raise
        except BaseException as error:
            # Pykka stops every actor of the process on these; one actor's failure stays its own.
            raise RuntimeError(f"actor {self.name} met {short_repr(error)}") from error
