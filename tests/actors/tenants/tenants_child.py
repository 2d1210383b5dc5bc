"""A process with tenants, one of which sets a timer; the test kills it."""

from __future__ import annotations

import sys
import threading

from actors import Systems
from tests.actors.tenants.parcels import Receive, parcels

with Systems(sys.argv[1], parcels, replicas=1) as systems:
    system = systems.get("acme")
    system.execute(Receive("p", 1.0))
    system.wait_process_managers()
    print("received", flush=True)
    threading.Event().wait()
