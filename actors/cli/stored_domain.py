"""What a store says of the domain that filled it, for programs that are not given one. Main thread."""

from __future__ import annotations

import os

from actors.schema.notes import read_schema
from storage import OnewriterError
from storage.codec.codec import Codec
from storage.files.environment import DATA_FILE
from storage.files.page_check import DEFAULT_VERIFY_BYTES
from storage.log.log_follower import LogFollower

__all__ = ["is_store", "stored_domain"]


def is_store(path: str) -> bool:
    """Whether a directory has a log in it. Opens nothing."""
    return os.path.isfile(os.path.join(path, DATA_FILE))


def stored_domain(path: str) -> str | None:
    """The name of the domain that filled a store; None if the store does not say, or can't be read."""
    try:
        with LogFollower.open(path, Codec(), verify_bytes=DEFAULT_VERIFY_BYTES) as log:
            schema = read_schema(log).schema
    except OnewriterError:
        return None  # whoever opens it says what is wrong
    return None if schema is None else schema.domain
