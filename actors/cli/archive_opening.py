"""Opening a store to plan something about its archives, or to do it. Main thread."""

from __future__ import annotations

from argparse import Namespace

from actors.cli.key_options import key_settings
from actors.cli.store_work import opened_for_work
from actors.domain.domain import Domain
from actors.system.system import System

__all__ = ["opened_with_archives"]


def opened_with_archives(options: Namespace, domain: Domain) -> System:
    """The store, for reading unless `options.apply`. Raises as `System.open`."""
    settings = {**key_settings(options), "archives_path": options.archives_path}
    if options.apply:
        return opened_for_work(options.store, domain, **settings)
    return System.open(options.store, domain, replicas=1, mode="read", **settings)
