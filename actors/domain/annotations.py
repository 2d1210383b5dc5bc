"""Reading type annotations: evaluated one at a time, taken apart, and written out for error messages.

Pure; runs on the thread that compiles a domain.
"""

from __future__ import annotations

import builtins
import types
import typing
from collections.abc import Mapping
from typing import Any


def resolve(
    annotation: Any, globalns: Mapping[str, Any], localns: Mapping[str, Any], *, extras: bool = False
) -> Any:
    """One annotation evaluated on its own, so that a neighbour that can't be resolved does no harm.

    With `extras` it keeps what is in `Annotated` besides the type; see `without_extras`.
    """
    if isinstance(annotation, str):
        # Most are the name of a class, which is found in a tenth of the time.
        for names in (localns, globalns, vars(builtins)):
            if annotation in names:
                found = names[annotation]
                if isinstance(found, type) and found is not typing.Generic and found is not typing.Protocol:
                    return found
                break
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    return typing.get_type_hints(holder, dict(globalns), dict(localns), include_extras=extras)["it"]


def without_extras(hint: Any) -> Any:
    """A resolved annotation without what is in `Annotated` besides the type."""
    return hint if isinstance(hint, type) else resolve(hint, {}, {})


def written(annotation: Any) -> str:
    """An annotation that could not be resolved, as its author wrote it."""
    if isinstance(annotation, str):
        return annotation
    if isinstance(annotation, typing.ForwardRef):
        return annotation.__forward_arg__
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    return f"{origin.__name__}[{', '.join(map(written, arguments))}]" if arguments else hint_text(annotation)


def unaliased(hint: Any) -> Any:
    """What a `NewType` or a `type` alias stands for; any other hint as it is."""
    while True:
        if isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        else:
            return hint


def union_members(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a union, or the hint alone."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def hint_text(hint: Any) -> str:
    """The annotation as a user would write it, without module names."""
    arguments = typing.get_args(hint)
    if not arguments:
        return "..." if hint is Ellipsis else getattr(hint, "__name__", repr(hint))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " | ".join("None" if one is types.NoneType else hint_text(one) for one in arguments)
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(repr(one) for one in arguments)
    inner = ", ".join("None" if one is types.NoneType else hint_text(one) for one in arguments)
    return f"{getattr(typing.get_origin(hint), '__name__', hint)}[{inner}]"
