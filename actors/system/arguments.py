"""What `System.open` and methods of systems were given, checked. Callers' threads."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

from actors.domain.domain import Domain
from actors.queries.consistency import MAX_POSITION
from storage.value_text import short_repr

__all__ = ["checked_number", "checked_page", "checked_path"]


def checked_path(path: Any, domain: Any) -> str:
    """The path as text. Raises `TypeError` or `ValueError` for other arguments of `System.open`."""
    if not isinstance(domain, Domain):
        advice = "give the Domain that declares the messages"
        if isinstance(path, Domain):
            advice = "the arguments are the other way round: System.open(path, domain)"
        elif isinstance(domain, ModuleType):
            inside = [
                f"{domain.__name__}.{name}" for name, one in vars(domain).items() if isinstance(one, Domain)
            ]
            advice = f"give the Domain in that module: {' or '.join(inside) or 'it has none'}"
        raise TypeError(f"System.open(path, domain) takes a Domain, not {short_repr(domain)}; {advice}")
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(
            f"System.open(path, domain) takes the store's directory as text or a Path, not {short_repr(path)}"
        )
    if not text:
        raise ValueError(
            "System.open(path, domain) was given an empty path; write '.' for the current directory"
        )
    return text


def checked_page(method: str, prefix: Any, limit: Any, after: Any) -> None:
    """Raise `TypeError` or `ValueError` for what does not say which names a method is to list."""
    checked_number(f"{method}(limit=)", limit)
    for option, text in (("prefix", prefix), ("after", after)):
        if not isinstance(text, str):
            raise TypeError(f"{method}({option}=) is text, not {short_repr(text)}")


def checked_number(option: str, value: Any) -> None:
    """Raise `ValueError` unless it is None or a whole number from 0 on."""
    if value is not None and (type(value) is not int or not 0 <= value <= MAX_POSITION):
        raise ValueError(f"{option} is a whole number from 0 on, not {short_repr(value)}")
