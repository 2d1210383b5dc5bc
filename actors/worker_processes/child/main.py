"""A worker process: one replica and its query actors, the same actors as in a system with threads.

`actors.worker_processes.parent.worker_process` starts it, with sockets to the parent for all that is sent
either way. Its main thread serves the parent; it ends when the parent sends a stop or is gone.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from actors.errors import DomainError
from actors.settings import Settings
from actors.worker_processes.child.status_reporter import ForwardingLogHandler, StatusReporter
from actors.worker_processes.child.worker_host import WorkerHost
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.domain_import import (
    DomainLocation,
    differences,
    fingerprints,
    import_domain,
)
from actors.worker_processes.wire.error_codec import pack_error
from actors.worker_processes.wire.framing import Connection, frame
from storage.codec.codec import Codec

__all__ = ["main"]

ENDS_WITHIN = 10.0
"""Seconds that the actors have to end before the process ends without them."""

ORPHAN_ENDS_WITHIN = 0.3
"""The same if the parent is gone: nobody waits for what they do, but the store may be opened again."""


def main(arguments: Sequence[str]) -> None:
    """Run a worker; `arguments`: replica's name, store's path, numbers of the sockets. Never returns."""
    gc.freeze()  # what was imported, with the collector off
    gc.enable()
    sys.argv = [f"onewriter worker {arguments[0]} of {arguments[1]}"]
    control, *query_connections = (Connection(socket.socket(fileno=int(fd))) for fd in arguments[2:])
    code = 1
    try:
        code = _run(control, query_connections)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Threads of projections and queries that hang are no reason to stay.
        os._exit(code)


def _run(control: Connection, query_connections: list[Connection]) -> int:
    bodies = _first_messages(control)
    if bodies is None:
        return 0
    (config,) = protocol.unpack(bodies.pop(0))
    sys.path[:] = config["sys_path"]
    sys.setswitchinterval(config["switch_interval"])
    _watch_parent(config["parent"], control)
    try:
        host = _open_host(config, control, query_connections)
    except BaseException as error:
        control.send_all(frame(protocol.pack(protocol.REFUSED, _packed_error(error))))
        return 2
    host.start()
    stopped = host.serve(bodies)
    return 0 if host.end(ENDS_WITHIN if stopped else ORPHAN_ENDS_WITHIN) else 3


def _first_messages(control: Connection) -> list[bytes] | None:
    while True:
        bodies = control.receive()
        if bodies is None or bodies:
            return bodies


def _packed_error(error: BaseException) -> bytes:
    return pack_error(error, Codec())


def _watch_parent(parent: int, control: Connection) -> None:
    """Shut the connection down when the parent is gone, even if a child that the parent forked has its end
    open."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        control.shutdown()

    threading.Thread(target=watch, name="onewriter-parent", daemon=True).start()


def _open_host(
    config: dict[str, Any], control: Connection, query_connections: list[Connection]
) -> WorkerHost:
    """Import the domain, check that it is the parent's, and open the replica."""
    module, attribute, modules = config["location"]
    location = DomainLocation(module, attribute, tuple(modules))
    source = import_domain(location)
    domain = source.compile()
    differ = differences(config["fingerprints"], fingerprints(domain))
    if differ:
        raise DomainError(
            f"a worker process imported {location}, and it is not the domain that the system was opened "
            f"with: {', '.join(differ)} differ; if its files were changed, restart the program; declare all "
            "of it while its modules are imported, the same way in each process"
        )
    settings = Settings(**config["settings"])
    domain.codec.max_bytes = settings.max_message_bytes
    host = WorkerHost(config, domain, settings, control, query_connections)
    host.open()
    _forward_logs(host.reporter, config["levels"])
    return host


def _forward_logs(reporter: StatusReporter, levels: dict[str, int]) -> None:
    logging.getLogger().handlers[:] = [ForwardingLogHandler(reporter)]
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
