"""Lets mypy see that a domain's decorators make dataclasses: `plugins = actors.mypy_plugin` in its settings.

Type checkers learn that from `typing.dataclass_transform`, which `Domain`'s methods carry; but mypy follows
it only where a decorator is a function of a module, not a method of an object such as `shop`. The plugin
names the classes under `@shop.state(...)` and the like as descendants of `Message`, whose transform mypy does
follow. It runs inside mypy only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import dataclass_transform

from mypy.nodes import (
    CallExpr,
    Expression,
    Import,
    ImportAll,
    ImportBase,
    ImportFrom,
    MemberExpr,
    MypyFile,
    NameExpr,
    PlaceholderNode,
    SymbolNode,
    TypeInfo,
    Var,
    get_member_expr_fullname,
)
from mypy.plugin import ClassDefContext, Plugin, SemanticAnalyzerPluginInterface
from mypy.types import Instance, get_proper_type

KINDS = frozenset({"state", "event", "command", "query", "value", "timer"})
DECLARING = frozenset({"actors.domain.domain.Domain", "actors.domain.process_manager.ProcessManager"})


@dataclass_transform(frozen_default=True)
class Message:
    """What mypy takes the classes of a domain to descend from; nothing does when the program runs."""


class OnewriterPlugin(Plugin):
    """Finds the decorated classes while mypy works out their ancestors."""

    def get_additional_deps(self, file: MypyFile) -> list[tuple[int, str, int]]:
        """Have `Message` at hand wherever the domain's decorators can be."""
        names = [name for node in file.imports for name in imported(node)]
        return [(10, __name__, -1)] if "actors" in names else []

    def get_customize_class_mro_hook(self, _fullname: str) -> Callable[[ClassDefContext], None] | None:
        return add_message


def add_message(context: ClassDefContext) -> None:
    """Put `Message` among the ancestors of a decorated class that is not an Enum."""
    info = context.cls.info
    if not any(is_domains(one, context.api) for one in context.cls.decorators) or any(
        base.fullname == "enum.Enum" for base in info.mro
    ):
        return
    symbol = context.api.lookup_fully_qualified_or_none(f"{__name__}.Message")
    if symbol is not None and isinstance(symbol.node, TypeInfo) and symbol.node not in info.mro:
        info.mro.insert(-1, symbol.node)


def imported(node: ImportBase) -> list[str]:
    """The top-level packages that an import statement names."""
    if isinstance(node, ImportFrom | ImportAll):
        return [node.id.partition(".")[0]]
    return [name.partition(".")[0] for name, _ in node.ids] if isinstance(node, Import) else []


def is_domains(decorator: Expression, api: SemanticAnalyzerPluginInterface) -> bool:
    """Whether it is `@shop.state(...)`, `@base.shop.state(...)` or the like, of what may be a domain or a
    manager.
    """
    callee = decorator.callee if isinstance(decorator, CallExpr) else decorator
    if not isinstance(callee, MemberExpr) or callee.name not in KINDS:
        return False
    owner = dotted(callee.expr)
    if not owner:
        return False
    # What the decorator names is not looked up yet when mypy asks for the ancestors.
    symbol = api.lookup_qualified(owner, decorator, suppress_errors=True)
    return may_declare(None if symbol is None else symbol.node)


def dotted(owner: Expression) -> str:
    """The names that lead to an object; empty for one that is found otherwise."""
    if isinstance(owner, NameExpr):
        return owner.name
    return get_member_expr_fullname(owner) or "" if isinstance(owner, MemberExpr) else ""


def may_declare(owner: SymbolNode | None) -> bool:
    """Whether what a name stands for may be a domain or a manager; without a type written there, that is not
    known.
    """
    if not isinstance(owner, Var):
        return owner is None or isinstance(owner, PlaceholderNode)
    found = None if owner.type is None else get_proper_type(owner.type)
    if isinstance(found, Instance):
        return any(base.fullname in DECLARING for base in found.type.mro)
    return True


def plugin(_version: str) -> type[Plugin]:
    """What mypy calls to load the plugin."""
    return OnewriterPlugin
