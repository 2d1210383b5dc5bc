"""Which tenants are open: opened once on demand, closed when idle or to make room for another.

Callers' threads and the pool's own. What opens or closes a store, or calls the program's code, holds no lock:
a tenant that takes long delays nobody but those who ask for it.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable

from actors.errors import ActorsError, SystemClosed, TenantsBusy, described
from actors.runtime.activity import has_managers, next_timer, what_is_under_way
from actors.system.system import System
from actors.tenants.settings import TenantSettings
from actors.tenants.tenant import State, Tenant
from actors.tenants.wake_ups import NOW, WakeUps
from storage.errors import StorageError, StoreClosed

__all__ = ["TenantPool"]

logger = logging.getLogger("onewriter.tenants")

CLOSE_TIMEOUT = 30.0
CLOSING_HANGS = 1.0
"""Seconds after which another tenant is closed in place of one that does not come to its end."""

LOOK_AGAIN = 0.05
"""Seconds after which a caller that waits for room looks again whether a store has become idle."""
SHOWN = 5


class TenantPool:
    """The open tenants of one `Systems`, by name."""

    def __init__(
        self, settings: TenantSettings, open_system: Callable[[str], System], wake_ups: WakeUps
    ) -> None:
        """`open_system` opens the store of a name, which is checked."""
        self._settings = settings
        self._open_system = open_system
        self._wake_ups = wake_ups
        self._changed = threading.Condition()
        self._tenants: dict[str, Tenant] = {}
        self._wanted = 0
        """How many callers wait for room."""
        self.refusal: Callable[[], Exception] | None = None
        self.failures: dict[str, str] = {}
        """Why the last opening of a tenant failed, or how it was when it was closed; not if all is well."""

    # -- asking for one ----------------------------------------------------------------------
    def acquire_now(self, name: str, *, lease: bool) -> Tenant | None:
        """The tenant if it is open; does not wait."""
        self._require_usable()
        with self._changed:
            tenant = self._tenants.get(name)
            return self._used(tenant, lease) if tenant is not None and tenant.usable else None

    def acquire(self, name: str, timeout: float, *, lease: bool) -> Tenant:
        """The tenant, which this opens if no other thread does; waits for up to `timeout` seconds.

        Raises `TenantsBusy`, and what opening its store does.
        """
        end = time.monotonic() + timeout
        while True:
            self._require_usable()
            found, mine = self._find_or_claim(name)
            if found is None:
                self._make_room(name, end, timeout)
                continue
            if mine:
                self._open(found)
            with self._changed:
                if not mine and not found.usable:
                    self._wait_for(found, name, end, timeout)
                if found.usable:
                    return self._used(found, lease)
                error = found.error
            if error is not None:
                raise _copied(error)

    def release(self, tenant: Tenant) -> None:
        """A lease ended."""
        with self._changed:
            tenant.leases -= 1
            tenant.used = time.monotonic()
            self._changed.notify_all()

    @staticmethod
    def _used(tenant: Tenant, lease: bool) -> Tenant:
        tenant.leases += lease
        tenant.used = time.monotonic()
        return tenant

    def _find_or_claim(self, name: str) -> tuple[Tenant | None, bool]:
        """The tenant, and whether this thread is to open it; None if there is no room for one more."""
        with self._changed:
            tenant = self._tenants.get(name)
            if tenant is not None and tenant.state is State.OPEN and not tenant.usable:
                tenant.state = State.CLOSING  # somebody closed its system
                self._start_closing(tenant)
            if tenant is not None:
                return tenant, False
            if len(self._tenants) >= self._settings.max_open:
                return None, False
            self._tenants[name] = tenant = Tenant(name)
            return tenant, True

    def _open(self, tenant: Tenant) -> None:
        system: System | None = None
        error: Exception | None = None
        try:
            system = self._open_system(tenant.name)
            self._note_open(tenant.name, system)
            with self._changed:
                # Not after `close` has looked: it closes what is open then.
                self._require_usable()
                tenant.opened(system)
                self.failures.pop(tenant.name, None)
                self._changed.notify_all()
            return
        except Exception as failed:
            error = failed
            self.failures[tenant.name] = described(failed)
            raise
        finally:
            if tenant.state is State.OPENING:
                if system is not None:
                    system.close(CLOSE_TIMEOUT)
                self._forget(tenant, error)

    def _note_open(self, name: str, system: System) -> None:
        if self._settings.timers == "ignore" or not has_managers(system._parts):
            return
        try:
            self._wake_ups.note(name, NOW)
        except StorageError as error:
            logger.warning("tenant %s is not opened by itself if this process dies: %s", name, error)

    def _forget(self, tenant: Tenant, error: Exception | None = None) -> None:
        with self._changed:
            tenant.error = error
            if self._tenants.get(tenant.name) is tenant:
                del self._tenants[tenant.name]
            self._changed.notify_all()

    def _wait_for(self, tenant: Tenant, name: str, end: float, timeout: float) -> None:
        """Until it is open or gone; holds the lock. Raises `TenantsBusy`."""

        def settled() -> bool:
            return tenant.usable or self._tenants.get(name) is not tenant or self.refusal is not None

        if not self._changed.wait_for(settled, max(end - time.monotonic(), 0.0)):
            raise TenantsBusy(
                f"tenant {name!r} is still {tenant.state.value} after {timeout:g} s; try again, or give a "
                "longer timeout="
            )

    # -- making room -------------------------------------------------------------------------
    def _make_room(self, name: str, end: float, timeout: float) -> None:
        """Have the tenant closed that was not used for longest, and wait until one is."""
        with self._changed:
            self._wanted += 1
        try:
            while True:
                with self._changed:
                    self._require_usable()
                    if len(self._tenants) < self._settings.max_open or name in self._tenants:
                        return
                    soon = self._closing_soon() >= self._wanted
                left = end - time.monotonic()
                if left <= 0:
                    raise self._full(name, timeout)
                if not soon:
                    self._close_one()
                with self._changed:
                    if len(self._tenants) >= self._settings.max_open:
                        self._changed.wait(min(left, LOOK_AGAIN))
        finally:
            with self._changed:
                self._wanted -= 1

    def _closing_soon(self) -> int:
        """How many are being closed, but for those that seem to hang; holds the lock."""
        limit = time.monotonic() - CLOSING_HANGS
        return sum(one.state is State.CLOSING and one.used > limit for one in self._tenants.values())

    def _close_one(self) -> None:
        for tenant in self._by_use():
            used = tenant.used
            if self.why_open(tenant) is None and self._claim_closing(tenant, used):
                self._start_closing(tenant)
                return

    def _full(self, name: str, timeout: float) -> TenantsBusy:
        reasons = [f"{one.name}: {self.why_open(one)}" for one in self._by_use()[:SHOWN]]
        return TenantsBusy(
            f"tenant {name!r} can't be opened: max_open={self._settings.max_open} tenants were open and in "
            f"use for {timeout:g} s ({'; '.join(reasons)}); try again, or raise max_open="
        )

    def _by_use(self) -> list[Tenant]:
        with self._changed:
            tenants = [one for one in self._tenants.values() if one.state is State.OPEN]
        for one in tenants:
            one.look()
        return sorted(tenants, key=lambda one: one.used)

    def why_open(self, tenant: Tenant) -> str | None:
        """Why a tenant is not closed, as text; None if it may be."""
        system = tenant.system
        if system is None or tenant.state is not State.OPEN:
            return f"it is {tenant.state.value}"
        if not tenant.usable:
            return None
        if tenant.leases:
            return f"it is leased {tenant.leases} times" if tenant.leases > 1 else "it is leased"
        try:
            under_way = what_is_under_way(system._parts)
        except StoreClosed:
            return "it is closing"
        if under_way is not None:
            return under_way
        if self._settings.timers == "keep" and next_timer(system._parts) is not None:
            return "a timer waits"
        keep_open = self._settings.keep_open
        try:
            return "keep_open= says so" if keep_open is not None and keep_open(tenant.name, system) else None
        except Exception as error:
            logger.exception("keep_open= failed for tenant %s", tenant.name)
            return f"keep_open= failed: {described(error)}"

    # -- closing -----------------------------------------------------------------------------
    def _claim_closing(self, tenant: Tenant, used: float) -> bool:
        with self._changed:
            if tenant.state is not State.OPEN or tenant.leases or tenant.used != used:
                return False
            tenant.state = State.CLOSING
            return True

    def _start_closing(self, tenant: Tenant) -> None:
        tenant.used = time.monotonic()
        name = f"onewriter-closing-{tenant.name}"
        threading.Thread(target=self._close, args=(tenant,), name=name, daemon=True).start()

    def _close(self, tenant: Tenant, timeout: float = CLOSE_TIMEOUT) -> None:
        system = tenant.system
        try:
            if system is not None:
                wakes = self._settings.timers != "ignore" and has_managers(system._parts)
                system.close(timeout)
                if wakes:
                    # After the end: what was decided until then may have set a timer.
                    left = _is_unfinished(system)
                    self._wake_ups.note(tenant.name, NOW if left else next_timer(system._parts))
        except Exception as error:
            self.failures[tenant.name] = f"closing it failed: {described(error)}"
            logger.exception("tenant %s was closed with an error", tenant.name)
        finally:
            self._forget(tenant)

    def close_idle(self) -> None:
        """Close every tenant that was not used for `idle` seconds, each in a thread of its own."""
        limit = time.monotonic() - self._settings.idle
        for tenant in self._by_use():
            used = tenant.used
            if used <= limit and self.why_open(tenant) is None and self._claim_closing(tenant, used):
                self._start_closing(tenant)

    def close_all(self, timeout: float, at_once: int) -> None:
        """Close all tenants, so many at the same time, within about `timeout` seconds, leased or not."""
        end = time.monotonic() + timeout
        with self._changed:
            mine = [one for one in self._tenants.values() if one.state is State.OPEN]
            for one in mine:
                one.state = State.CLOSING
            self._changed.notify_all()

        def close_some() -> None:
            while True:
                with self._changed:
                    if not mine:
                        return
                    tenant = mine.pop()
                self._close(tenant, max(end - time.monotonic(), 0.5))

        threads = [
            threading.Thread(target=close_some, name=f"closing-{number}", daemon=True)
            for number in range(min(at_once, len(mine)))
        ]
        for thread in threads:
            thread.start()
        with self._changed:
            if not self._changed.wait_for(lambda: not self._tenants, max(end - time.monotonic(), 1.0)):
                logger.error("not closed within %g s: %s", timeout, ", ".join(sorted(self._tenants)))

    def take(self, name: str, timeout: float) -> Tenant:
        """Close a tenant and keep it from being opened, until `give_back`; waits for the end of leases.

        Raises `TenantsBusy`.
        """
        end = time.monotonic() + timeout
        while True:
            self._require_usable()
            with self._changed:
                tenant = self._tenants.get(name)
                if tenant is None:
                    self._tenants[name] = taken = Tenant(name)
                    taken.state = State.CLOSING
                    return taken
                if tenant.state is State.OPEN and not tenant.leases:
                    tenant.state = State.CLOSING
                    mine = True
                else:
                    mine = False
                    if not self._changed.wait(max(end - time.monotonic(), 0.0)) and time.monotonic() >= end:
                        raise TenantsBusy(
                            f"tenant {name!r} is in use after {timeout:g} s ({self._use_of(tenant)}); end "
                            "its leases, or give a longer timeout="
                        )
            if mine:
                self._close(tenant)

    @staticmethod
    def _use_of(tenant: Tenant) -> str:
        return f"{tenant.leases} leases" if tenant.state is State.OPEN else f"it is {tenant.state.value}"

    def give_back(self, tenant: Tenant) -> None:
        """Let a tenant that was taken be opened again."""
        self._forget(tenant)

    # -- looking -----------------------------------------------------------------------------
    def tenants(self) -> list[Tenant]:
        """All that are open, are being opened or are being closed, by name."""
        with self._changed:
            return sorted(self._tenants.values(), key=lambda one: one.name)

    def refuse(self, refusal: Callable[[], Exception]) -> None:
        """Open nothing from now on."""
        with self._changed:
            self.refusal = refusal
            self._changed.notify_all()

    def _require_usable(self) -> None:
        if self.refusal is not None:
            raise self.refusal()


def _is_unfinished(system: System) -> bool:
    """Whether a process manager of a closed system had not handled all that is committed."""
    head = system._parts.progress.head
    return any(
        handle.board.status.failure is None
        and (handle.board.status.position < head or handle.board.delivering)
        for handle in system._parts.process_managers.handles.values()
    )


def _copied(error: Exception) -> Exception:
    """The error for one more thread: each has a traceback of its own."""
    try:
        again = copy.copy(error)
    except Exception:
        return error
    return again if type(again) is type(error) else error


def closed_error() -> ActorsError:
    """For what is asked of tenants after their end."""
    return SystemClosed("the tenants are closed; make another Systems")
