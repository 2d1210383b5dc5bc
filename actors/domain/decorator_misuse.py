"""Says what a decorator needs to a user who writes `@shop.state` alone, or gives an argument by position.

Runs on the thread that declares, normally at import.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from actors.domain.source_location import caller_location, name_of
from actors.errors import DomainError
from storage.value_text import short_repr

__all__ = ["require_keywords"]

F = TypeVar("F", bound=Callable[..., Any])


def require_keywords(example: str) -> Callable[[F], F]:
    """Decorates a method of ``Domain`` whose arguments are all given by name, such as ``example``."""

    def decorate(method: F) -> F:
        needed = [
            parameter.name
            for parameter in inspect.signature(method).parameters.values()
            if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
        ]

        @functools.wraps(method)
        def call(domain: Any, *given: Any, **options: Any) -> Any:
            if not given and all(name in options for name in needed):
                return method(domain, **options)
            decorator = f"@{domain.name}.{method.__name__}"
            if len(given) == 1 and isinstance(given[0], type) and not options:
                found = f"{decorator} stands without brackets above {name_of(given[0])}"
            elif given:
                what = short_repr(given[0])
                found = f"{decorator} was given {what} by position, and takes its arguments by name"
            else:
                missing = ", ".join(f"{name}=" for name in needed if name not in options)
                found = f"{decorator} lacks {missing}"
            raise DomainError(f"{caller_location()}: {found}; write {decorator}({example})")

        return cast(F, call)

    return decorate
