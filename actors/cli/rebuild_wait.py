"""Waiting for rebuilds, with a look at them now and then. Main thread."""

from __future__ import annotations

from actors.domain.read_model import ReadModel
from actors.errors import ConsistencyTimeout
from actors.system.system import System

__all__ = ["is_rebuilt"]

EVERY = 1.0
"""Seconds between two looks."""


def is_rebuilt(system: System, model: ReadModel) -> bool:
    """Wait `EVERY` seconds until a model is rebuilt, and say whether it is. Raises as `wait_rebuilt` does."""
    try:
        system.wait_rebuilt(model, EVERY)
    except ConsistencyTimeout:
        return False
    return True
