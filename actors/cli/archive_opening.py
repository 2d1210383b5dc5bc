"""Opening a store to plan something about its archives, or to do it. Main thread."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from actors.cli.archive_options import add_archives_path, add_record, checked_record
from actors.cli.domain_loading import load_domain
from actors.cli.key_options import add_keys, key_settings
from actors.cli.store_directory import require_store
from actors.cli.store_work import opened_for_work
from actors.domain.domain import Domain
from actors.system.system import System

__all__ = ["add_change_options", "checked_domain", "opened_with_archives", "opening_settings"]


def add_change_options(parser: ArgumentParser) -> None:
    """Add what a command needs that does with `--apply` what it plans without."""
    add_record(parser)
    add_keys(parser)
    add_archives_path(parser)
    parser.add_argument("--json", action="store_true", help="the report and the progress as JSON")


def checked_domain(options: Namespace) -> Domain:
    """The domain of a call that plans a change, or does it.

    Raises as `load_domain` and `require_store` do, `CommandLineError` without who and why of what it does.
    """
    domain = load_domain(options.domain)
    if options.apply:
        checked_record(options)
    require_store(options.store)
    return domain


def opening_settings(options: Namespace) -> dict[str, Any]:
    """What `System.open` is given by the options of `add_keys` and `add_archives_path`."""
    return {**key_settings(options), "archives_path": options.archives_path}


def opened_with_archives(options: Namespace, domain: Domain) -> System:
    """The store, for reading unless `options.apply`. Raises as `System.open`."""
    settings = opening_settings(options)
    if options.apply:
        return opened_for_work(options.store, domain, **settings)
    return System.open(options.store, domain, replicas=1, mode="read", **settings)
