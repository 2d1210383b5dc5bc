"""What a store says of the domain that filled it, for programs that are not given one. Main thread."""

from __future__ import annotations

from actors.schema.notes import read_schema
from storage import OnewriterError
from storage.codec.codec import Codec
from storage.files.page_check import DEFAULT_VERIFY_BYTES
from storage.log.log_follower import LogFollower

__all__ = ["stored_domain"]


def stored_domain(path: str) -> str | None:
    """The name of the domain that filled a store; None if the store does not say, or can't be read."""
    try:
        with LogFollower.open(path, Codec(), verify_bytes=DEFAULT_VERIFY_BYTES) as log:
            schema = read_schema(log).schema
    except OnewriterError:
        return None  # whoever opens it says what is wrong
    return None if schema is None else schema.domain
