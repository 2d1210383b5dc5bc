"""A cheaper `__init__` for frozen, slotted dataclasses. Pure; run once for each class as it is declared.

The one that `dataclasses` writes goes through `object.__setattr__` for each field, which looks the slot up by
name: more than half of what making a state or an event costs. This one fills the slots themselves. In every
other way it is the same function: parameters, defaults, annotations, the errors for wrong arguments.
"""

from __future__ import annotations

import dataclasses
from types import MemberDescriptorType
from typing import Any

from storage.codec.annotations import share_annotations

__all__ = ["with_slots_filled"]


def with_slots_filled(cls: Any) -> Any:
    """The class, with the cheaper `__init__` if it only keeps its fields, each in its own slot."""
    fields = dataclasses.fields(cls)
    slots: list[Any] = [getattr(cls, field.name, None) for field in fields]
    plain = all(
        field.init and not field.kw_only and field.default_factory is dataclasses.MISSING for field in fields
    )
    if (
        not plain
        or not fields
        or hasattr(cls, "__post_init__")
        or len(fields) < len(cls.__dataclass_fields__)  # ClassVar and InitVar
        or not all(isinstance(slot, MemberDescriptorType) for slot in slots)
    ):
        return cls
    written = cls.__init__
    names = [field.name for field in fields]
    setters = [f"__set_{number}__" for number in range(len(names))]
    lines = [f"def make({', '.join(setters)}):", f"    def __init__(self, {', '.join(names)}):"]
    lines += [f"        {setter}(self, {name})" for setter, name in zip(setters, names, strict=True)]
    lines += ["    return __init__"]
    namespace: dict[str, Any] = {}
    try:
        # With the module's globals, as the generated one has: code that resolves its annotations looks there.
        exec("\n".join(lines), written.__globals__, namespace)
    except SyntaxError:  # a field is called "self", which the written one has another name for
        return cls
    made = namespace["make"](*[slot.__set__ for slot in slots])
    made.__defaults__ = written.__defaults__
    share_annotations(made, written)
    made.__module__, made.__qualname__ = written.__module__, written.__qualname__
    cls.__init__ = made
    return cls
