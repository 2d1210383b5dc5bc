"""A worker process: one replica and its query actors, the same actors as in a system without workers.

Started by `actors.worker_processes.parent.worker_process`, with sockets to its parent for all that it hears and says. Its main thread hears the
parent; it ends when the parent says so or is gone.
"""

from __future__ import annotations

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
from actors.worker_processes.child.status_reporter import LogTeller, Teller
from actors.worker_processes.child.worker_host import Residence
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.domain_import import Whereabouts, differing, fingerprints, load
from actors.worker_processes.wire.error_codec import pack_error
from actors.worker_processes.wire.framing import Line, framed
from storage.codec.codec import Codec

__all__ = ["main"]

ENDS_WITHIN = 10.0
"""Seconds that the actors have to end before the process ends without them."""

ORPHAN_ENDS_WITHIN = 0.3
"""The same when the parent is gone: nobody waits for what they do, but somebody may open the store again."""


def main(arguments: Sequence[str]) -> None:
    """Run a worker; `arguments` are the replica's name, the store's path and the sockets' numbers. Never returns."""
    sys.argv = [f"onewriter worker {arguments[0]} of {arguments[1]}"]
    control, *questions = (Line(socket.socket(fileno=int(fd))) for fd in arguments[2:])
    code = 1
    try:
        code = _run(control, questions)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Threads of projections and queries that hang are no reason to stay.
        os._exit(code)


def _run(control: Line, questions: list[Line]) -> int:
    bodies = _first(control)
    if bodies is None:
        return 0
    (config,) = protocol.unpack(bodies.pop(0))
    sys.path[:] = config["sys_path"]
    sys.setswitchinterval(config["switch_interval"])
    _watch_parent(config["parent"], control)
    try:
        residence = _move_in(config, control, questions)
    except BaseException as error:
        control.send_all(framed(protocol.pack(protocol.REFUSED, _told(error))))
        return 2
    residence.begin()
    stopped = residence.hear(bodies)
    return 0 if residence.end(ENDS_WITHIN if stopped else ORPHAN_ENDS_WITHIN) else 3


def _first(control: Line) -> list[bytes] | None:
    while True:
        bodies = control.receive()
        if bodies is None or bodies:
            return bodies


def _told(error: BaseException) -> bytes:
    return pack_error(error, Codec())


def _watch_parent(parent: int, control: Line) -> None:
    """End the line when the parent is gone, where somebody else has its end open: a child that the parent forked."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        control.hang_up()

    threading.Thread(target=watch, name="onewriter-parent", daemon=True).start()


def _move_in(config: dict[str, Any], control: Line, questions: list[Line]) -> Residence:
    """Find the domain, see that it is the parent's, and open the replica."""
    module, attribute, modules = config["place"]
    place = Whereabouts(module, attribute, tuple(modules))
    source = load(place)
    domain = source.compile()
    differ = differing(config["fingerprints"], fingerprints(domain))
    if differ:
        raise DomainError(
            f"a worker process imported {place}, and it is not the domain that the system was opened with: "
            f"{', '.join(differ)} differ; if its files were changed, restart the program; declare all of it while its "
            "modules are imported, the same way in each process"
        )
    settings = Settings(**config["settings"])
    domain.codec.max_bytes = settings.max_message_bytes
    residence = Residence(config, domain, settings, control, questions)
    residence.move_in()
    _log_to(residence.teller, config["levels"])
    return residence


def _log_to(teller: Teller, levels: dict[str, int]) -> None:
    logging.getLogger().handlers[:] = [LogTeller(teller)]
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
