"""The name of a tenant, which is also that of its folder. Pure; any thread."""

from __future__ import annotations

import re

from actors.errors import InvalidTenantName
from storage.value_text import short_repr

__all__ = ["MAX_NAME", "checked_name", "is_name"]

MAX_NAME = 100
_FORM = re.compile(r"[a-z0-9][a-z0-9._-]*\Z")


def is_name(name: object) -> bool:
    """Whether it can be the name of a tenant."""
    return isinstance(name, str) and len(name) <= MAX_NAME and _FORM.match(name) is not None


def checked_name(name: object) -> str:
    """The name. Raises `InvalidTenantName` for what can't be one.

    Upper case is refused, since some file systems take ACME and acme for one folder.
    """
    if isinstance(name, str) and is_name(name):
        return name
    reason = "a tenant's name is text"
    if isinstance(name, str):
        reason = f"a tenant's name has from 1 to {MAX_NAME} characters"
        if 0 < len(name) <= MAX_NAME:
            reason = (
                "a tenant's name has lower-case letters, digits, '-', '_' and '.', and begins with a letter "
                "or a digit"
            )
    raise InvalidTenantName(f"{reason}, not {short_repr(name)}; map other names to such")
