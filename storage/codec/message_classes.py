"""What the codec needs to know about a message class. Pure functions, called when a class is registered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MemberDescriptorType
from typing import Any
from weakref import WeakKeyDictionary

from storage.codec.annotations import signature_of
from storage.codec.generated import define
from storage.errors import DECLARE_AGAIN, CodecError


def qualified_name(cls: type) -> str:
    """Return where a class is defined, for error messages."""
    return f"{cls.__module__}.{cls.__qualname__}"


_fields_of: WeakKeyDictionary[type, tuple[str, ...]] = WeakKeyDictionary()
"""The stored fields of the classes that were looked at: each is registered several times for a system."""


def stored_fields(cls: type) -> list[str]:
    """Return the names of the fields that build a message; raises CodecError if they are not enough."""
    found = _fields_of.get(cls)
    if found is None:
        found = _fields_of[cls] = tuple(_checked_fields(cls))
    return list(found)


def _checked_fields(cls: type) -> list[str]:
    if not dataclasses.is_dataclass(cls) or not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise CodecError(
            f"{qualified_name(cls)} is neither a frozen dataclass nor an Enum: only those can be stored"
        )
    fields = [field.name for field in dataclasses.fields(cls) if field.init]
    for parameter in signature_of(cls).parameters.values():
        if parameter.name not in fields and parameter.default is parameter.empty:
            raise CodecError(
                f"{qualified_name(cls)} needs {parameter.name!r} to be built, but no field holds it"
            )
    return fields


def compile_getter(fields: list[str]) -> Callable[[Any], dict[str, Any]]:
    """Return a function from a message to its fields by name."""
    # A compiled dict display takes a fifth of the time of zipping names with values. It is safe: the names
    # are those of a dataclass, which accepts only identifiers.
    display = ", ".join(f"{name!r}: message.{name}" for name in fields)
    return define("fields_of", f"def fields_of(message):\n    return {{{display}}}", {})


def compile_builder(cls: type, fields: list[str]) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function from fields by name to a message: as `cls(**fields)`, in half the time.

    A frozen class's own `__init__` calls `object.__setattr__` for each field. If the class only stores its
    fields, each in its own slot, the slots are filled directly. If a field is missing, or there is one too
    many, the class is called as usual.
    """
    slots = {name: getattr(cls, name, None) for name in fields}
    setters = [slot.__set__ for slot in slots.values() if isinstance(slot, MemberDescriptorType)]
    dataclass: Any = cls
    if not (
        dataclass.__dataclass_params__.init
        and dataclass.__new__ is object.__new__
        and not hasattr(cls, "__post_init__")
        and 0 < len(setters) == len(fields) == len(dataclass.__dataclass_fields__)
    ):
        return lambda fields: cls(**fields)
    # Local names must not clash: fields are known by their numbers, not by their names.
    lines = [
        "def build(fields):",
        f"    if len(fields) != {len(fields)}:",
        "        return cls(**fields)",
        "    try:",
        *(f"        value{number} = fields[{name!r}]" for number, name in enumerate(fields)),
        "    except KeyError:",
        "        return cls(**fields)",
        "    message = new(cls)",
        *(f"    set{number}(message, value{number})" for number in range(len(fields))),
        "    return message",
    ]
    names: dict[str, Any] = {f"set{number}": setter for number, setter in enumerate(setters)}
    names.update(cls=cls, new=object.__new__)
    return define("build", "\n".join(lines), names)


def misfit(cls: type, name: str, fields: Any, error: Exception) -> CodecError:
    """Return the error for stored fields that do not fit their class; `error` is what building it raised."""
    known = {field.name for field in dataclasses.fields(cls) if field.init}
    unknown = sorted(str(field) for field in fields if field not in known)
    if unknown:
        return CodecError(f"{name} has no field {', '.join(unknown)}, which is stored; {DECLARE_AGAIN}")
    return CodecError(
        f"{name} cannot be built from its fields {', '.join(map(str, fields))}: {error}; {DECLARE_AGAIN}"
    )
