"""Fingerprints of key functions: equal only where both give the same instances for the events. Pure, any
thread.

A function's covers its code: bytecode, constants, defaults, what it closes over, and the globals that it
reads, with the code of functions among them. A class counts by its name, and what comes with Python by its
name and Python's version. What can't be compared reliably is equal to nothing.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import operator
import re
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from types import BuiltinFunctionType, CodeType, EllipsisType, FunctionType, MethodType, ModuleType
from typing import Any

from actors.domain.process_manager_spec import ProcessManagerSpec

__all__ = ["key_fingerprints", "refreshed", "same_keys"]

PLAIN = (type(None), bool, int, float, complex, str, bytes, EllipsisType)
REPEATED = ("datetime", "decimal", "fractions", "uuid")
"""Modules whose values say in their `repr` all that they are."""
GETTERS = (operator.attrgetter, operator.itemgetter, operator.methodcaller)
STANDARD = sys.stdlib_module_names - {"__main__"}
WRITTEN = 1 << 9
"""The flag of classes that a program makes (`Py_TPFLAGS_HEAPTYPE`)."""
PYTHON = ".".join(map(str, sys.version_info[:3]))
UNKNOWN = "(?)"
FORMER = "()"
"""The end of an earlier checkout's fingerprint of a function: its name alone."""


def key_fingerprints(spec: ProcessManagerSpec) -> dict[str, str]:
    """The fingerprint of each event's key, by the name of its class: a field, or that of a function."""
    return {cls.__name__: rule.field or _fingerprint(rule.key_of) for cls, rule in spec.events.items()}


def same_keys(before: dict[str, str], now: dict[str, str]) -> bool:
    """Whether each event that both have is certainly for the same instance."""
    return all(before[event] == key != UNKNOWN for event, key in now.items() if event in before)


def refreshed(before: dict[str, str] | None, now: dict[str, str]) -> dict[str, str]:
    """The fingerprints to store for a version that is not raised: in the form of this Python and this
    release.
    """
    if before is None:
        return now
    return before | {event: key for event, key in now.items() if _stale(before.get(event), key)}


def _stale(before: str | None, now: str) -> bool:
    if before is None:
        return True
    if not now.startswith("("):
        return False
    return before.endswith(FORMER) or (before[0] == "(" and before.split(" ")[0] != now.split(" ")[0])


def _fingerprint(key_of: Callable[[Any], str | None]) -> str:
    try:
        text = _Fingerprinter().text_of(key_of)
    except (_NotComparable, RecursionError):
        return UNKNOWN
    return f"({PYTHON} {hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]})"


class _NotComparable(Exception):
    """A value can't be compared reliably."""


class _Fingerprinter:
    """Writes values as text in the order of their first use; a repeated one by its number."""

    def __init__(self) -> None:
        self._seen: list[Any] = []

    def text_of(self, value: Any) -> str:
        """Raises `_NotComparable`."""
        if type(value) in PLAIN:
            return repr(value)
        for number, one in enumerate(self._seen):
            if one is value:
                return f"<{number}>"
        self._seen.append(value)
        return f"{type(value).__qualname__}{self._parts(value)}"

    def _parts(self, value: Any) -> list[str]:
        if isinstance(value, (type, ModuleType)) or _of_python(value):
            return [getattr(value, "__qualname__", value.__name__)]  # A program's module may be __main__ now.
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, CodeType):
            return self._code(value, value.co_consts)
        parts = _parts_of(value)
        return [self.text_of(part) for part in (_parts_of_instance(value) if parts is None else parts)]

    def _function(self, fn: FunctionType) -> list[str]:
        code, consts = fn.__code__, fn.__code__.co_consts
        has_text = consts and fn.__doc__ is not None and consts[0] is fn.__doc__
        parts = self._code(code, consts[1:] if has_text else consts)
        parts += [self.text_of(one) for one in fn.__defaults__ or ()]
        parts += [self.text_of(part) for item in sorted((fn.__kwdefaults__ or {}).items()) for part in item]
        for cell in fn.__closure__ or ():
            try:
                parts.append(self.text_of(cell.cell_contents))
            except ValueError:
                parts.append("<empty>")
        for name in sorted(set(_globals(code)) & fn.__globals__.keys()):
            parts += [name, self.text_of(fn.__globals__[name])]
            if isinstance(fn.__globals__[name], ModuleType):
                parts += self._of_module(fn.__globals__[name], code)
        return parts

    def _of_module(self, module: ModuleType, code: CodeType) -> list[str]:
        """What a function takes from a module by name."""
        if module.__name__.split(".")[0] in STANDARD:
            return []
        names = sorted(set(_names(code)) & vars(module).keys())
        return [part for name in names for part in (name, self.text_of(vars(module)[name]))]

    def _code(self, code: CodeType, consts: tuple[Any, ...]) -> list[str]:
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        plain = [code.co_code, code.co_exceptiontable, code.co_flags, code.co_argcount, *names]
        return [repr(plain), *(self.text_of(const) for const in consts)]


def _of_python(value: Any) -> bool:
    """Whether it is a function that comes with Python."""
    if isinstance(value, BuiltinFunctionType):
        return value.__self__ is None or isinstance(value.__self__, ModuleType)
    module = getattr(value, "__module__", None) or ""
    return isinstance(value, FunctionType) and module.split(".")[0] in STANDARD


def _parts_of(value: Any) -> list[Any] | None:
    """What a value of these kinds is made of; None for another kind."""
    if isinstance(value, (MethodType, BuiltinFunctionType)):
        return [value.__self__, getattr(value, "__func__", value.__name__)]
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *(part for item in sorted(value.keywords.items()) for part in item)]
    if isinstance(value, functools._lru_cache_wrapper):
        return [value.__wrapped__]
    if type(value) in (tuple, list):
        return list(value)
    if type(value) in (set, frozenset, dict) and all(type(one) in PLAIN for one in value):
        keys = sorted(value, key=repr)
        return [(key, value[key]) for key in keys] if type(value) is dict else keys
    if isinstance(value, Enum):
        return [type(value), value.name, value.value]
    if isinstance(value, re.Pattern):
        return [value.pattern, value.flags]
    if isinstance(value, GETTERS):
        return list(value.__reduce__())
    if type(value).__module__ in REPEATED:
        return [type(value), repr(value)]
    return None


def _parts_of_instance(value: Any) -> list[Any]:
    """An instance of a class that is written in Python: what it holds, and the functions of its class."""
    parts: list[Any] = []
    for cls in type(value).__mro__[:-1]:
        if not cls.__flags__ & WRITTEN or cls.__module__.split(".")[0] in STANDARD:
            raise _NotComparable(value)
        parts += [cls, *(one for one in vars(cls).values() if isinstance(one, FunctionType))]
        slots = vars(cls).get("__slots__", ())
        parts += [getattr(value, name, None) for name in ((slots,) if isinstance(slots, str) else slots)]
    return [*parts, *(part for item in sorted(getattr(value, "__dict__", {}).items()) for part in item)]


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _codes(const)


def _globals(code: CodeType) -> Iterator[str]:
    """The names that a function, and those within it, read of its module."""
    for one in _codes(code):
        for instruction in dis.get_instructions(one):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                yield instruction.argval


def _names(code: CodeType) -> Iterator[str]:
    for one in _codes(code):
        yield from one.co_names
