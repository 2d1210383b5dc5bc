"""One process manager of an open system: its mailboxes and what outlives its actors."""

from __future__ import annotations

from typing import NamedTuple

from actors.domain.process_manager_spec import ProcessManagerSpec
from actors.kernel.mailbox import Mailbox
from actors.process_managers.delivery_threads import DeliveryThreads
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.status_board import StatusBoard

__all__ = ["ManagerHandle"]


class ManagerHandle(NamedTuple):
    """`mailbox` is the manager's, `outbox` that of its outbox; any thread may put messages into them."""

    spec: ProcessManagerSpec
    keys: RecordKeys
    board: StatusBoard
    mailbox: Mailbox
    outbox: Mailbox
    threads: DeliveryThreads
    has_outbox: bool
    """Whether effects are declared, or wait since they were: these are parked with that reason."""
