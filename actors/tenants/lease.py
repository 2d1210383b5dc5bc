"""A tenant that somebody needs open: `with systems.use(name) as system`. Callers' threads and event loops."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from actors.kernel.lazy_asyncio import asyncio
from actors.system.system import System
from actors.tenants.tenant import Tenant
from actors.tenants.tenant_pool import TenantPool

__all__ = ["Lease", "acquired"]


class Lease:
    """For one `with` or `async with` block at a time; the tenant is not closed before the block ends."""

    def __init__(self, pool: TenantPool, name: str, timeout: float) -> None:
        """For `Systems.use`."""
        self._pool = pool
        self._name = name
        self._timeout = timeout
        self._tenants: list[Tenant] = []

    def __enter__(self) -> System:
        pool, name = self._pool, self._name
        tenant = pool.acquire_now(name, lease=True) or pool.acquire(name, self._timeout, lease=True)
        return self._entered(tenant)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.release(self._tenants.pop())

    async def __aenter__(self) -> System:
        return self._entered(await acquired(self._pool, self._name, self._timeout, lease=True))

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.release(self._tenants.pop())

    def _entered(self, tenant: Tenant) -> System:
        self._tenants.append(tenant)
        system = tenant.system
        assert system is not None
        return system


async def acquired(pool: TenantPool, name: str, timeout: float, *, lease: bool) -> Tenant:
    """As `TenantPool.acquire`, for event loops: what waits does so in another thread.

    A task that is cancelled meanwhile leaves no lease behind.
    """
    tenant = pool.acquire_now(name, lease=lease)
    if tenant is not None:
        return tenant
    opening = asyncio.ensure_future(asyncio.to_thread(pool.acquire, name, timeout, lease=lease))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        if lease:
            opening.add_done_callback(_release(pool))
        raise


def _release(pool: TenantPool) -> Callable[[asyncio.Future[Tenant]], None]:
    def done(opening: asyncio.Future[Tenant]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            pool.release(opening.result())

    return done
