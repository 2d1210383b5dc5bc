"""What the codec needs to know of a message class. Pure functions, run once for each class as it is registered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MemberDescriptorType
from typing import Any

from storage.codec.annotations import signature_of
from storage.errors import CodecError


def qualified_name(cls: type) -> str:
    """Return where a class is defined, for error messages."""
    return f"{cls.__module__}.{cls.__qualname__}"


def stored_fields(cls: type) -> list[str]:
    """Return the names of the fields that rebuild a message; raises CodecError if they would not suffice."""
    if not dataclasses.is_dataclass(cls) or not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise CodecError(
            f"{qualified_name(cls)} is neither a frozen dataclass nor an Enum: only those can be stored"
        )
    fields = [field.name for field in dataclasses.fields(cls) if field.init]
    for parameter in signature_of(cls).parameters.values():
        if parameter.name not in fields and parameter.default is parameter.empty:
            raise CodecError(
                f"{qualified_name(cls)} needs {parameter.name!r} to be built, which no field keeps"
            )
    return fields


def compile_getter(fields: list[str]) -> Callable[[Any], dict[str, Any]]:
    """Return a function from a message to its fields by name."""
    # A compiled dict display takes a fifth of the time of zipping names with values. The names come from a
    # dataclass, which lets nothing but identifiers through.
    display = ", ".join(f"{name!r}: message.{name}" for name in fields)
    getter: Callable[[Any], dict[str, Any]] = eval(f"lambda message: {{{display}}}")
    return getter


def compile_builder(cls: type, fields: list[str]) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function from the fields by name to a message: what `cls(**fields)` is, in half the time.

    A frozen class's own `__init__` goes through `object.__setattr__` for each field. Where the class does nothing but
    keep its fields, each in a slot of its own, the slots are filled instead; a field that is missing, or one too
    many, leaves the message to the class all the same.
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
    # Local names must not clash with each other: those of the fields do not occur, only their numbers.
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
    exec("\n".join(lines), names)
    builder: Callable[[Mapping[str, Any]], Any] = names["build"]
    return builder


def misfit(cls: type, name: str, fields: Any, error: Exception) -> CodecError:
    """Return the error for stored fields that do not fit their class, given the error that building it raised."""
    known = {field.name for field in dataclasses.fields(cls) if field.init}
    unknown = sorted(str(field) for field in fields if field not in known)
    if unknown:
        return CodecError(
            f"{name} has no field {', '.join(unknown)}: a stored field must stay, or be converted"
        )
    return CodecError(f"{name} cannot be built from its fields {', '.join(map(str, fields))}: {error}")
