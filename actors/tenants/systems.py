"""`Systems`: a folder of stores, one for each tenant, behind one object. Callers' threads and event loops."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from os import PathLike
from typing import Any, Literal

from actors.domain.domain import Domain
from actors.errors import ForkedProcess, UnknownTenant
from actors.kernel.closeable import BlockingCloseable
from actors.system.arguments import checked_path
from actors.system.system import System
from actors.tenants.health import SystemsHealth, TenantHealth
from actors.tenants.housekeeping import Housekeeping
from actors.tenants.lease import Lease, acquired
from actors.tenants.settings import TenantSettings
from actors.tenants.tenant import Tenant
from actors.tenants.tenant_folder import has_store, move_away, tenant_names
from actors.tenants.tenant_name import checked_name
from actors.tenants.tenant_pool import TenantPool, closed_error
from actors.tenants.wake_ups import WakeUps
from actors.timeouts import checked_timeout
from storage.errors import StoreClosed
from storage.files.arguments import resolved_path
from storage.files.environment import make_directory

__all__ = ["Systems"]

TIMEOUT = 30.0
CLOSE_TIMEOUT = 60.0
CLOSED_AT_ONCE = 16

_all: weakref.WeakSet[Systems] = weakref.WeakSet()


class Systems(BlockingCloseable):
    """The stores in one folder, each opened when it is asked for. Close it, or use it in a `with` or
    `async with` block.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        domain: Domain,
        *,
        max_open: int = 100,
        idle: float = 300.0,
        create: bool | Callable[[str], bool] = True,
        keep_open: Callable[[str, System], bool] | None = None,
        timers: Literal["wake", "keep", "ignore"] = "wake",
        options_of: Callable[[str], Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        """Opens no store yet, but for those whose timers are due.

        - `max_open`: how many stores are open at the most; for one more, the one that was not used for
          longest is closed
        - `idle`: the seconds without a use after which a store is closed
        - `create`: whether a store is made for a tenant that has none, or a function of the name that says so
        - `keep_open`: a function of a name and its system; a store for which it is true is not closed
        - `timers`: "wake" closes a store while timers of its process managers wait, and opens it again when
          one is due; "keep" leaves such a store open; with "ignore" they wait until somebody opens it
        - `options_of`: a function of a name that returns further options, for limits of one tenant
        - `options`: those of `System.open`, for all stores

        Raises `TypeError` or `ValueError` for what is no setting, and `StorageError` for the folder.
        """
        self._settings = TenantSettings(max_open, idle, create, keep_open, timers, options_of, options)
        self._folder = resolved_path(checked_path(folder, domain))
        self._domain = domain
        make_directory(self._folder)
        self._wake_ups = WakeUps(self._folder)
        self._pool = TenantPool(self._settings, self._open, self._wake_ups)
        self._housekeeping = Housekeeping(
            self._pool, self._settings, self._wake_ups, partial(has_store, self._folder)
        )
        self._closing = threading.Lock()
        _all.add(self)
        self._housekeeping.start()

    # -- tenants -----------------------------------------------------------------------------
    def use(self, name: str, *, timeout: float = TIMEOUT) -> Lease:
        """A lease: `with systems.use(name) as system`, or `async with`. The store stays open in the block.

        Entering it opens the store, if it is not open. Any number of threads and tasks may do so at the same
        time. It raises `TenantsBusy` if there is no room within `timeout` seconds, `UnknownTenant` if there
        is no store and none is to be made, and what `System.open` raises for this store. Raises
        `InvalidTenantName`.
        """
        checked_timeout(timeout, "use")
        return Lease(self._pool, checked_name(name), timeout)

    def get(self, name: str, *, timeout: float = TIMEOUT) -> System:
        """The system of a tenant, which is opened if it is not open; without a lease.

        It may be closed once it was idle, or to make room: calls raise `SystemClosed` then. So ask for it
        each time. Raises as entering `use` does.
        """
        checked_timeout(timeout, "get")
        name = checked_name(name)
        tenant = self._pool.acquire_now(name, lease=False) or self._pool.acquire(name, timeout, lease=False)
        return _system_of(tenant)

    async def aget(self, name: str, *, timeout: float = TIMEOUT) -> System:
        """As `get`, for asyncio: the event loop continues meanwhile."""
        checked_timeout(timeout, "aget")
        return _system_of(await acquired(self._pool, checked_name(name), timeout, lease=False))

    def names(self) -> list[str]:
        """The tenants that have a store, in order, whether open or not. Raises `StorageError`."""
        return tenant_names(self._folder)

    def open_names(self) -> list[str]:
        """The tenants whose stores are open now, in order."""
        return [one.name for one in self._pool.tenants() if one.usable]

    def drop(self, name: str, *, timeout: float = TIMEOUT) -> str:
        """Close a tenant's store and move it away, to a folder below `.dropped`; returns its new path.

        Nothing is deleted. The tenant can have a new store afterwards, if `create` allows that. Waits up to
        `timeout` seconds for the end of leases. Raises `TenantsBusy`, `UnknownTenant`, `InvalidTenantName`;
        `StoreLocked` if another process has the store open; `StorageError`.
        """
        checked_timeout(timeout, "drop")
        name = checked_name(name)
        taken = self._pool.take(name, timeout)
        try:
            target = move_away(self._folder, name)
            self._wake_ups.note(name, None)
            self._pool.failures.pop(name, None)
            return target
        finally:
            self._pool.give_back(taken)

    # -- all of them -------------------------------------------------------------------------
    @property
    def folder(self) -> str:
        """The folder of the stores."""
        return os.fspath(self._folder)

    def health(self) -> SystemsHealth:
        """How all tenants are that are open, or could not be opened; never waits for one."""
        failures = dict(self._pool.failures)
        found = self._pool.tenants()
        tenants = [self._health(one, failures.pop(one.name, None)) for one in found]
        tenants += [TenantHealth(name, "closed", failure=text) for name, text in sorted(failures.items())]
        problems = [f"{one.name}: {one.failure}" for one in tenants if one.failure is not None]
        problems += [f"{one.name}: {text}" for one in tenants if one.health for text in one.health.problems]
        warnings = [f"{one.name}: {text}" for one in tenants if one.health for text in one.health.warnings]
        return SystemsHealth(
            "degraded" if problems else "ok",
            self.folder,
            len(found),
            self._settings.max_open,
            self._wake_ups.count(except_for={one.name for one in found}),
            tuple(tenants),
            tuple(problems),
            tuple(warnings),
        )

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Close all stores, leased or not, many at the same time, within about `timeout` seconds.

        Each handles the commands that wait, as `System.close` does. Closing twice is harmless.
        """
        if self._pool.refusal is _forked:
            raise _forked()
        checked_timeout(timeout, "close")
        self._pool.refuse(closed_error)
        self._housekeeping.stop()
        with self._closing:
            self._pool.close_all(timeout, CLOSED_AT_ONCE)

    # -- inside ------------------------------------------------------------------------------
    def _open(self, name: str) -> System:
        if not has_store(self._folder, name) and not self._settings.may_create(name):
            raise UnknownTenant(
                f"there is no store for tenant {name!r} in {self._folder}, and create= allows no new one"
            )
        return System.open(self._folder / name, self._domain, **self._settings.options_for(name))

    def _health(self, tenant: Tenant, failure: str | None) -> TenantHealth:
        system = tenant.system if tenant.usable else None
        health = None
        if system is not None:
            with suppress(StoreClosed):  # it is closing
                health = system._runtime.health()
        return TenantHealth(
            tenant.name,
            tenant.state.value,
            tenant.leases,
            round(time.monotonic() - tenant.used, 3),
            self._pool.why_open(tenant),
            health,
            failure,
        )


def _system_of(tenant: Tenant) -> System:
    system = tenant.system
    assert system is not None
    return system


def _forked() -> Exception:
    return ForkedProcess(
        "these Systems were made by the parent process and can't be used in a forked child; make others there"
    )


def _after_fork() -> None:
    for systems in list(_all):
        # Without the lock: a thread that is gone may hold it.
        systems._pool.refusal = _forked


def _at_exit() -> None:
    for systems in list(_all):
        if systems._pool.refusal is None:
            systems.close(timeout=10.0)


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
