"""The registry of a codec: message classes and enums by the stable names under which they are stored.

Register everything before threads share the codec; after that any thread may read.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from storage.codec.fidelity import Fidelity, is_built_plainly
from storage.codec.message_classes import (
    compile_builder,
    compile_getter,
    misfit,
    qualified_name,
    stored_fields,
)
from storage.codec.personal_fields import PersonalField, Sealer, unseal_fields
from storage.codec.upcasting import (
    VERSION_MARK,
    Chain,
    Upcaster,
    stored_name,
    version_of,
)
from storage.codec.values import enum_encoder, leaf_encoders
from storage.errors import (
    DECLARE_AGAIN,
    CodecError,
    DuplicateTypeName,
    UnknownType,
    UnreadableSeal,
    UnregisteredType,
    UpcastFailed,
)
from storage.value_text import short_repr

__all__ = ["Fields", "Message", "TypeRegistry"]

Fields = dict[str, Any]
Message = tuple[str, Callable[[Any], Fields], bool]
"""The stored name of a message class, a function for its fields, whether they never hold a list or dict."""


class TypeRegistry:
    """The classes that a codec knows; turns a message into its fields and back."""

    def __init__(self) -> None:
        self._types: dict[str, type] = {}
        self._names: dict[type, str] = {}
        self._getters: dict[type, Message] = {}
        self.shareable = Fidelity()
        """Which values may be shared; `own` copies the others."""
        self.faithful = Fidelity(mutable=True)
        """Which values are decoded as they were, whether they are mutable or not."""
        self._builders: dict[str, Callable[[Fields], Any]] = {}
        self._encoders = leaf_encoders()
        self.former: dict[str, tuple[Chain, int]] = {}
        """The stored names that are not read as they stand: older versions and former names, and versions
        from 2 on. Each has the chain that it is read through, and its version there. To be read only."""
        self.former_names: dict[type, tuple[str, ...]] = {}
        """The names under which classes were stored before; to be read only."""
        self.personal: dict[type, dict[str, PersonalField]] = {}
        """The personal fields of classes; to be read only. See `storage.codec.personal_fields`."""
        self.sealer: Sealer | None = None
        """What has the keys of personal fields; without it they are stored as they are, and read redacted."""
        self._chains: dict[str, Chain] = {}
        self._members: dict[str, tuple[type, Sequence[Upcaster]]] = {}

    def _copy_registry(self, other: TypeRegistry) -> None:
        """Take over all that another registry has, in one that is new."""
        self._types.update(other._types)
        self._names.update(other._names)
        self._getters.update(other._getters)
        self._builders.update(other._builders)
        self._encoders.update(other._encoders)
        self.former.update(other.former)
        self.former_names.update(other.former_names)
        self._chains.update(other._chains)
        self._members.update(other._members)
        self.personal.update(other.personal)
        self.shareable, self.faithful, self.sealer = other.shareable, other.faithful, other.sealer

    @property
    def registered(self) -> Mapping[str, type]:
        """Every registered class by its stored name; a live, read-only view."""
        return MappingProxyType(self._types)

    def register(self, cls: type, name: str | None = None) -> None:
        """Register a frozen dataclass or an Enum under a stored name, which is its class name unless given.

        The name is written to disk: keep it when the class is renamed. Registering the same class under the
        same name again changes nothing. Raises DuplicateTypeName if the name or the class is taken,
        CodecError if the class is of another kind.
        """
        name = cls.__name__ if name is None else name
        if not isinstance(name, str) or not name:
            raise CodecError(
                f"{cls.__qualname__} must be stored under a str that is not empty, not {short_repr(name)}"
            )
        if VERSION_MARK in name:
            raise CodecError(
                f"{cls.__qualname__} must not be stored as {short_repr(name)}: in a stored name "
                f"{VERSION_MARK!r} stands before the version"
            )
        if self._types.get(name) is cls:
            return
        if name in self._types:
            raise DuplicateTypeName(
                f"two classes are to be stored as {short_repr(name)}: {qualified_name(self._types[name])} "
                f"and {qualified_name(cls)}; give one of them another name"
            )
        if cls in self._names:
            raise DuplicateTypeName(
                f"{qualified_name(cls)} is already stored as {self._names[cls]!r}, not as {short_repr(name)}"
            )
        if issubclass(cls, enum.Enum):
            self._encoders[cls] = enum_encoder(cls, name)
            doubtful: list[str] | None = []
        else:
            fields = stored_fields(cls)
            doubtful = fields if is_built_plainly(cls) else None
            self._getters[cls] = name, compile_getter(fields), False
            self._builders[name] = compile_builder(cls, fields)
        self.shareable.register(cls, doubtful)
        self.faithful.register(cls, doubtful)
        self._types[name] = cls
        self._names[cls] = name

    def read_through(
        self,
        name: str,
        upcasters: Sequence[Upcaster] = (),
        former_names: Sequence[str] = (),
        *,
        event: bool = False,
        check: Callable[[Any], None] | None = None,
    ) -> None:
        """Read older versions of what is stored as `name`, and what is stored under former names, as its
        class.

        Call it at most once for a name, after `register`; and for every event, if upcasters of one return
        another. `upcasters` begin at version 1; what is written from now on has the version after the last
        one. Without a class of this name, they have to make other events of it. `event` says that they may
        make any number of them. `check` raises for a message whose fields are not of their types.
        """
        cls = self._types.get(name)
        current = len(upcasters) + 1
        written = stored_name(name, current)
        names = [
            (version, stored_name(one, version))
            for one in (name, *former_names)
            for version in range(1, current + 1)
        ]
        if cls is not None:
            self.former_names[cls] = tuple(former_names)
        if cls is not None and issubclass(cls, enum.Enum):
            self._encoders[cls] = enum_encoder(cls, written)
            self._members.update((stored, (cls, upcasters[version - 1 :])) for version, stored in names)
            return
        plain = self._builders.get(name)
        chain = Chain(name, upcasters, plain, check, self.own, self.shareable.safe_types, event, self._chains)
        self._chains.update(dict.fromkeys((name, *former_names), chain))
        if cls is not None:
            self._getters[cls] = written, *self._getters[cls][1:]
        if not upcasters:
            names.remove((1, name))
        for version, stored in names:
            self.former[stored] = chain, version
            self._builders[stored] = plain if version == current and plain else partial(chain.one, version)

    def declare_personal(self, fields: Mapping[type, Mapping[str, PersonalField]]) -> None:
        """Say which fields of registered classes are personal. Call it once, after `read_through`.

        Older versions of classes are read with the sealed values that they have, whatever fields had them.
        """
        self.personal = {cls: dict(ones) for cls, ones in fields.items()}
        stored = {self._getters[cls][0] for cls in self.personal}
        for name in stored.union(self.former) & self._builders.keys():
            self._builders[name] = partial(self._build_unsealed, name, self._builders[name])

    def unseal(self, stored: str, fields: Fields) -> None:
        """Replace sealed values among the fields of a message by what they were. Raises CodecError."""
        unseal_fields(self.sealer, self.unpack_value, stored, fields)

    def unpack_value(self, data: bytes) -> Any:
        """The value in packed bytes; the codec has it."""
        raise NotImplementedError

    def _build_unsealed(self, stored: str, build: Callable[[Fields], Any], fields: Fields) -> Any:
        unseal_fields(self.sealer, self.unpack_value, stored, fields)
        return build(fields)

    def own(self, value: Any) -> Any:
        """The value itself if it is shareable, else a copy; the codec has it."""
        raise NotImplementedError

    def base_name(self, stored: str) -> str:
        """The name that is shown for a stored name: that of its class, without a version."""
        found = self.former.get(stored)
        return version_of(stored)[0] if found is None else found[0].name

    def name_of(self, cls: type) -> str:
        """Return the stored name of a class; raises UnregisteredType."""
        try:
            return self._names[cls]
        except KeyError:
            raise UnregisteredType(
                f"{qualified_name(cls)} is not registered with the codec; register it first"
            ) from None

    def sources_of(self, names: Collection[str]) -> frozenset[str]:
        """The stored names, without versions, of events that may be read as one of these types.

        Upcasters of an event may make any other of it, so all that have upcasters are among them.
        """
        found = set(names)
        for stored, chain in self._chains.items():
            if chain.name in found or chain.may_differ:
                found.add(stored)
        return frozenset(found) if names else frozenset()

    def type_of(self, name: str) -> type:
        """Return the class stored under a name; raises UnknownType."""
        try:
            return self._types[name]
        except KeyError:
            pass
        base = version_of(self.base_name(name))[0]
        cls = self._types.get(base)
        if cls is None:
            raise UnknownType(
                f"no class is registered for the stored type {short_repr(name)}; {DECLARE_AGAIN}"
            )
        if name not in self.former and name not in self._members:
            raise UnknownType(
                f"{short_repr(name)} was written by a program with more upcasters of {base}, which has no "
                f"version {version_of(name)[1]} here; run the newer program"
            )
        return cls

    def declare_flat(self, cls: type) -> None:
        """Declare that messages of a class never hold a list or dict, so their depth need not be checked."""
        name, getter, _ = self._getters[cls]
        self._getters[cls] = name, getter, True

    def is_flat(self, cls: type) -> bool:
        """Whether `declare_flat` was called for the class."""
        return self._getters[cls][2]

    # -- messages --------------------------------------------------------------------------------------------
    def fields(self, message: object) -> Fields:
        """Return the fields of a message by name, as they are (not copied); raises UnregisteredType."""
        return self.describe(message)[1]

    def describe(self, message: object) -> tuple[str, Fields]:
        """Return a message's stored name, with its version from 2 on, and its fields.

        Raises UnregisteredType.
        """
        try:
            name, getter, _ = self._getters[type(message)]
        except KeyError:
            raise UnregisteredType(
                f"{qualified_name(type(message))} is not registered with the codec as a message; register it "
                "first"
            ) from None
        return name, getter(message)

    def build(self, name: str, fields: Fields) -> object:
        """Return a message of the class stored as `name`. A missing field takes its default.

        Raises UnknownType if no class has the name; CodecError if fields are unknown, missing without a
        default, or refused by the class.
        """
        try:
            return self._builders[name](fields)
        except (UpcastFailed, UnreadableSeal):
            raise
        except Exception as error:
            cls = self.type_of(name)
            if cls not in self._getters:
                raise CodecError(
                    f"a message is stored as {short_repr(name)}, but {qualified_name(cls)} is not a "
                    "message class"
                ) from None
            raise misfit(cls, self._names[cls], fields, error) from error
