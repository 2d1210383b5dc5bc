"""Functions for `onewriter copy --through`: the shop's log without names, and without carts. Pure."""

from __future__ import annotations

from hashlib import blake2b

from actors import CopiedEvent

__all__ = ["anonymous", "without_carts"]


def anonymous(event: CopiedEvent) -> CopiedEvent:
    """The same event with a pseudonym in place of its customer, the same one for the same customer."""
    if "customer" in event.fields:
        pseudonym = blake2b(event.fields["customer"].encode(), digest_size=6, key=b"a secret").hexdigest()
        event.fields["customer"] = pseudonym
    return event


def without_carts(event: CopiedEvent) -> CopiedEvent | None:
    """The same event, or none for those of carts."""
    return None if event.stream.startswith("cart-") else event
