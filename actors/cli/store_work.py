"""Opening a store for one piece of work, and how that ends the program. Main thread."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from actors.cli.errors import describe
from actors.cli.exit_codes import DONE, FAILED, INTERRUPTED
from actors.cli.store_directory import kept_replicas
from actors.domain.domain import Domain
from actors.system.system import System
from storage import OnewriterError

__all__ = ["exit_code_of", "opened_for_work"]


def opened_for_work(store: str, domain: Domain, replicas: int | None = None, **settings: Any) -> System:
    """The store with these replicas, or those that it has, and further settings; raises as `System.open`.

    There are no queries that a rebuild could slow down, and no effect is to be sent.
    """
    if replicas is None:
        replicas = kept_replicas(store)
    return System.open(store, domain, replicas=replicas, rebuild_share=1.0, managers=False, **settings)


def exit_code_of(work: Callable[[], None], interrupted: str) -> int:
    """Do the work, and return the program's exit code; standard error says what went wrong.

    `interrupted` says what becomes of it after Ctrl-C.
    """
    try:
        work()
    except BrokenPipeError:
        raise
    except (OnewriterError, OSError, ValueError) as error:
        print(describe(error), file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"interrupted; {interrupted}", file=sys.stderr)
        return INTERRUPTED
    return DONE
