"""The actors that stand in, in the parent, for those of a worker process: health shows them, and the supervisor starts them again.

A replica's stand-in has the worker started, hears what it says, and ends when it ends. A query actor's reads the
answers that no caller waits for in its own thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.errors import described
from actors.kernel.actor import ActorKilled, Kill, SupervisedActor
from actors.kernel.mailbox import Mailbox, Request
from actors.replication.read_replica import ResetReplica, Resume, RetryStopped, StartBuild
from actors.worker_processes.parent.query_connection import QueryConnection, ReadAnswers
from actors.worker_processes.parent.worker_handle import WorkerHandle
from actors.worker_processes.parent.worker_process import WorkerDied
from actors.worker_processes.wire import protocol

__all__ = ["ControlMailbox", "QueryProxyActor", "ReplicaProxyActor"]


class Listen(Request):
    """There is a worker to hear."""

    __slots__ = ()


class Gone(Request):
    """The worker ended by itself."""

    __slots__ = ()


LISTEN = Listen()


class ControlMailbox(Mailbox):
    """What a replica's stand-in gets: all that its worker says. Orders for the worker go to it from the thread that puts them."""

    def __init__(self, handle: WorkerHandle) -> None:
        super().__init__()
        self._handle = handle
        self.ended = False

    def put(self, envelope: Any, /) -> None:
        """Pass an order on. What ends the stand-in ends the worker. Any thread; never waits."""
        handle = self._handle
        kind = envelope.__class__
        if kind is StartBuild:
            handle.control.request(protocol.BUILD, envelope.model, envelope.future)
        elif kind is Resume:
            handle.control.request(protocol.RESUME, None, envelope.future)
        elif kind is ResetReplica or kind is RetryStopped:
            pass  # It is ordered by its slot; and a worker has a clock of its own.
        else:
            super().put(envelope)
            process = handle.process
            if process is not None:
                if kind is Kill:
                    process.kill()
                elif not handle.control.send(protocol.STOP):
                    # It is not even ready: there is nothing that it should bring to an end.
                    process.kill()

    def get(self) -> Any:
        """An order to hear the worker, and at its end what was put here. The stand-in's thread."""
        if self._handle.process is not None and not self.ended:
            return LISTEN
        return Gone() if self.empty() and not self._handle.closing else super().get()

    def close(self, refusal: Callable[[], Exception]) -> None:
        """As `Mailbox.close`; control that were not carried out are refused, too."""
        super().close(refusal)
        self._handle.control.close(refusal)


class ReplicaProxyActor(SupervisedActor):
    """Stands in for a `ReadReplica`. Messages: to hear the worker, until its end; and its end."""

    def __init__(
        self,
        name: str,
        mailbox: ControlMailbox,
        exited: Callable[[str, BaseException | None], None],
        *,
        handle: WorkerHandle,
    ) -> None:
        def left(name: str, error: BaseException | None) -> None:
            # No worker outlives its stand-in; and the supervisor is to find the place empty.
            handle.detach(described(error) if error is not None else "it was stopped")
            exited(name, error)

        super().__init__(name, mailbox, left)
        self._handle = handle
        self._control = mailbox

    def on_start(self) -> None:
        """Take over the first worker, which the opener has started, or start another one."""
        handle = self._handle
        if handle.process is None:
            handle.spawn()
            # Whoever wants an end of it, and came before there was a process to end, finds none who listens later.
            if handle.closing or not self._control.empty():
                handle.end()
            try:
                handle.wait_ready()
            except WorkerDied:
                if self._control.drain(1, Kill):
                    raise ActorKilled(f"actor {self.name} was killed on request") from None
                raise
        self._control.ended = False
        handle.attach()

    def on_receive(self, message: Any) -> None:
        """Hear what the worker says, for as long as there is one: control to it come from other threads."""
        kind = message.__class__
        if kind is Listen:
            self._handle.listen()
            self._control.ended = True
        elif kind is Gone:
            raise WorkerDied(self._handle.exit_reason())
        else:
            super().on_receive(message)


class QueryProxyActor(SupervisedActor):
    """Stands in for a `QueryActor`. Messages: `ReadAnswers`."""

    def __init__(
        self,
        name: str,
        mailbox: QueryConnection,
        exited: Callable[[str, BaseException | None], None],
    ) -> None:
        super().__init__(name, mailbox, exited)
        self._connection = mailbox

    def on_start(self) -> None:
        """Read on where the one before was killed in the middle of it."""
        self._connection.request_reader_again()

    def on_receive(self, message: Any) -> None:
        """Read what nobody else reads."""
        if message.__class__ is ReadAnswers:
            self._connection.read_rest()
        else:
            super().on_receive(message)
