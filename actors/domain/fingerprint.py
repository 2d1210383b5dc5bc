"""A fingerprint of projections' code, the same in every process with the same Python. Pure, any thread.

It covers bytecode, constants and names of the functions, of those inside them, and of those they wrap or
close over. It knows nothing of the functions that they call by a global name, and nothing of line numbers and
docstrings.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable
from types import CodeType, EllipsisType, FunctionType, MethodType
from typing import Any

from actors.domain.read_model import Handler

_PLAIN = (type(None), bool, int, float, complex, str, bytes, EllipsisType)


def fingerprint(handlers: Iterable[tuple[str, Handler]], upcasters: str = "") -> str:
    """A short text that changes with the code of projections, given with the names of their events.

    `upcasters` says which code changes these events before, empty for none.
    """
    described = [(name, one.wants_recorded, _function(one.fn, ())) for name, one in handlers]
    return hashlib.sha256((repr(sorted(described)) + upcasters).encode()).hexdigest()[:16]


def of_function(fn: Any) -> str:
    """A short text that changes with the code of one function, as `fingerprint` does with a model's."""
    return hashlib.sha256(_function(fn, ()).encode()).hexdigest()[:16]


def _function(fn: Any, inside: tuple[Any, ...]) -> str:
    """What a callable does, as text; `inside` are the functions and containers that lead to it."""
    inside = (*inside, fn)
    if isinstance(fn, MethodType):
        return _function(fn.__func__, inside)
    if isinstance(fn, functools.partial):
        bound = [_value(value, inside) for value in (*fn.args, *sorted(fn.keywords.items()))]
        return f"partial({_function(fn.func, inside)}, {bound})"
    if not isinstance(fn, FunctionType):
        call = getattr(type(fn), "__call__", None)  # noqa: B004
        return _function(call, inside) if isinstance(call, FunctionType) else _type_name(fn)
    consts = fn.__code__.co_consts
    parts = [
        _code(
            fn.__code__,
            consts[1:] if consts and fn.__doc__ is not None and consts[0] is fn.__doc__ else consts,
        )
    ]
    parts += [_value(value, inside) for value in fn.__defaults__ or ()]
    parts += [_value(item, inside) for item in sorted((fn.__kwdefaults__ or {}).items())]
    for cell in fn.__closure__ or ():
        try:
            parts.append(_value(cell.cell_contents, inside))
        except ValueError:
            parts.append("<empty>")
    return f"function({', '.join(parts)})"


def _code(code: CodeType, consts: tuple[Any, ...]) -> str:
    return repr(
        [
            code.co_code,
            code.co_exceptiontable,
            code.co_flags,
            [_value(const, ()) for const in consts],
            code.co_names,
            code.co_varnames,
            code.co_freevars,
            code.co_cellvars,
        ]
    )


def _value(value: Any, inside: tuple[Any, ...]) -> str:
    """A constant as text in which equal ones are equal: no addresses, and sets in order."""
    if isinstance(value, CodeType):
        return _code(value, value.co_consts)
    if type(value) in _PLAIN:
        return repr(value)
    if any(value is one for one in inside):
        return "<itself>"
    if type(value) in (tuple, list, set, frozenset, dict):
        inside = (*inside, value)
    if type(value) in (tuple, list):
        return f"{type(value).__name__}{[_value(item, inside) for item in value]}"
    if type(value) in (set, frozenset):
        return f"set{sorted(_value(item, inside) for item in value)}"
    if type(value) is dict:
        return f"dict{sorted((_value(key, inside), _value(item, inside)) for key, item in value.items())}"
    if isinstance(value, type):
        return value.__qualname__
    if isinstance(value, Callable):  # type: ignore[arg-type]
        return _function(value, inside)
    return _type_name(value)


def _type_name(value: Any) -> str:
    return type(value).__qualname__
