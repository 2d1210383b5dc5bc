"""Closes tenants that are idle, and opens those whose timers are due. One thread for all of a `Systems`."""

from __future__ import annotations

import logging
import math
import threading
import time
import weakref
from collections.abc import Callable

from actors.errors import SystemClosed, TenantsBusy, UnknownTenant
from actors.tenants.settings import TenantSettings
from actors.tenants.tenant_pool import TenantPool
from actors.tenants.wake_ups import WakeUps
from storage.errors import StoreLocked

__all__ = ["Housekeeping"]

logger = logging.getLogger("onewriter.tenants")

SLOWEST, QUICKEST = 1.0, 0.01
"""Seconds between two looks: a quarter of `idle`, within these."""

WOKEN_AT_ONCE = 4
WAKE_TIMEOUT = 30.0
TRY_AGAIN = 5.0
"""Seconds after which a store is tried again that had no room, or that another process had open."""

TRY_LATER = 60.0
"""The same after any other error."""


class Housekeeping:
    """The thread, and the few that it starts to open stores."""

    def __init__(
        self,
        pool: TenantPool,
        settings: TenantSettings,
        wake_ups: WakeUps,
        has_store: Callable[[str], bool],
    ) -> None:
        """`has_store` says whether a tenant has a store: none is made for a timer."""
        self._pool = pool
        self._has_store = has_store
        self._wakes = settings.timers != "ignore"
        self._wake_ups = wake_ups
        self._interval = min(max(settings.idle / 4, QUICKEST), SLOWEST)
        self._waking: set[str] = set()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin. It ends with `stop`, or once nobody has the object any more."""
        here = weakref.ref(self)
        arguments = (here, self._stopped)
        threading.Thread(target=_run, args=arguments, name="onewriter-tenants", daemon=True).start()

    def stop(self) -> None:
        """End, without waiting."""
        self._stopped.set()

    def look(self) -> float:
        """Look once; returns after how many seconds to look again."""
        self._pool.close_idle()
        if not self._wakes:
            return self._interval
        open_now = {one.name for one in self._pool.tenants()}
        now_us = time.time_ns() // 1000
        for name in self._wake_ups.due(now_us):
            if len(self._waking) >= WOKEN_AT_ONCE:
                break
            if name not in open_now and name not in self._waking:
                self._waking.add(name)
                threading.Thread(
                    target=self._wake, args=(name,), name=f"onewriter-waking-{name}", daemon=True
                ).start()

        next_us = self._wake_ups.next_after(now_us)
        until = math.inf if next_us is None else (next_us - now_us) / 1e6
        return min(max(until, QUICKEST), self._interval)

    def _wake(self, name: str) -> None:
        try:
            if not self._has_store(name):
                raise UnknownTenant(name)
            self._pool.acquire(name, WAKE_TIMEOUT, lease=False)
        except SystemClosed:
            pass
        except UnknownTenant:
            self._wake_ups.note(name, None)
        except Exception as error:
            wait = TRY_AGAIN if isinstance(error, TenantsBusy | StoreLocked) else TRY_LATER
            self._wake_ups.put_off(name, time.time_ns() // 1000 + int(wait * 1e6))
            logger.warning("tenant %s, of which a timer is due, cannot be opened: %s", name, error)
        finally:
            self._waking.discard(name)


def _run(here: weakref.ref[Housekeeping], stopped: threading.Event) -> None:
    while not stopped.is_set():
        housekeeping = here()
        if housekeeping is None:
            return
        pause = SLOWEST
        try:
            pause = housekeeping.look()
        except Exception:
            logger.exception("looking after the tenants failed; it is tried again")
        del housekeeping
        stopped.wait(pause)
