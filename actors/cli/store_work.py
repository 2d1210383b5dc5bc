"""Opening a store for one piece of work. Main thread."""

from __future__ import annotations

from typing import Any

from actors.cli.store_directory import kept_replicas
from actors.domain.domain import Domain
from actors.system.system import System

__all__ = ["opened_for_work"]


def opened_for_work(store: str, domain: Domain, replicas: int | None = None, **settings: Any) -> System:
    """The store with these replicas, or those that it has, and further settings; raises as `System.open`.

    There are no queries that a rebuild could slow down, and no effect is to be sent.
    """
    if replicas is None:
        replicas = kept_replicas(store)
    return System.open(store, domain, replicas=replicas, rebuild_share=1.0, managers=False, **settings)
