"""The proxies, in the parent, of a worker's actors: health shows them, and the supervisor restarts them.

A replica's proxy starts the worker, hears it, and ends when it ends. A query actor's proxy reads the answers
that no caller reads in its own thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.errors import described
from actors.kernel.actor import ActorKilled, Kill, SupervisedActor
from actors.kernel.mailbox import Mailbox, Request
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
    """The mailbox of a replica's proxy: as long as there is a worker, the order to hear it comes first."""

    def __init__(self, handle: WorkerHandle) -> None:
        super().__init__()
        self._handle = handle
        self.ended = False

    def put(self, envelope: Any, /) -> None:
        """For what ends the proxy, a stop or a kill: it ends the worker. Any thread; never waits."""
        super().put(envelope)
        handle = self._handle
        process = handle.process
        # A worker that is not even ready has nothing to bring to an end.
        if process is not None and (envelope.__class__ is Kill or not handle.control.send(protocol.STOP)):
            process.kill()

    def get(self) -> Any:
        """An order to hear the worker, and at its end what was put here. The proxy's thread."""
        if self._handle.process is not None and not self.ended:
            return LISTEN
        return Gone() if self.empty() and not self._handle.closing else super().get()

    def close(self, refusal: Callable[[], Exception]) -> None:
        """As `Mailbox.close`; requests that were not carried out are refused, too."""
        super().close(refusal)
        self._handle.control.close(refusal)


class ReplicaProxyActor(SupervisedActor):
    """The proxy of a `ReadReplica`. Messages: to hear the worker, until its end; and its end."""

    def __init__(
        self,
        name: str,
        mailbox: ControlMailbox,
        exited: Callable[[str, BaseException | None], None],
        *,
        handle: WorkerHandle,
    ) -> None:
        def left(name: str, error: BaseException | None) -> None:
            # No worker outlives its proxy; and the next proxy is to find no process.
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
            # A stop or a kill that came before there was a process did not reach this one.
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
        """Hear the worker, for as long as there is one: other threads send to it."""
        kind = message.__class__
        if kind is Listen:
            self._handle.listen()
            self._control.ended = True
        elif kind is Gone:
            raise WorkerDied(self._handle.exit_reason())
        else:
            super().on_receive(message)


class QueryProxyActor(SupervisedActor):
    """The proxy of a `QueryActor`. Messages: `ReadAnswers`."""

    def __init__(
        self,
        name: str,
        mailbox: QueryConnection,
        exited: Callable[[str, BaseException | None], None],
    ) -> None:
        super().__init__(name, mailbox, exited)
        self._connection = mailbox

    def on_start(self) -> None:
        """Read on where the proxy before was killed in the middle of it."""
        self._connection.request_reader_again()

    def on_receive(self, message: Any) -> None:
        """Read what nobody else reads."""
        if message.__class__ is ReadAnswers:
            self._connection.read_rest()
        else:
            super().on_receive(message)
