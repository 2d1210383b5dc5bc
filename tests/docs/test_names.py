"""What the guides and the docstrings name can be imported from where a program looks for it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import actors
import actors.testing
import storage
from storage import OnewriterError

ROOT = Path(__file__).parents[2]
INSIDE = {
    "docs/architecture.md",
    "docs/testing.md",
    "docs/dependencies.md",
    "docs/benchmarks.md",
    "docs/extending.md",
}
"""Pages that also name what is inside."""
BY_NAME = re.compile(r"`([A-Z][a-z]+[A-Za-z]*)`")


def classes() -> dict[str, type]:
    """Every class of the two packages, by name, but those of the programs that come along."""
    found: dict[str, type] = {}
    for package in (actors, storage):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.startswith(
                ("actors.demo", "actors.repl", "actors.cli", "actors.mypy_plugin", "actors.__main__")
            ):
                continue
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, type) and value.__module__.split(".")[0] in ("actors", "storage"):
                    found[name] = value
    return found


CLASSES = classes()
PUBLIC = {*actors.__all__, *actors.testing.__all__}


def test_every_error_can_be_imported_from_actors() -> None:
    errors = {
        name for name, cls in CLASSES.items() if issubclass(cls, OnewriterError) and not name.startswith("_")
    }
    errors.remove("StepSuperseded")  # told to process managers and consumers, never to a caller
    assert "KeyTooLong" in errors
    assert errors - set(actors.__all__) == set()
    assert all(getattr(actors, name) is CLASSES[name] for name in errors)


def test_what_is_public_is_there() -> None:
    for package in (actors, actors.testing, storage):
        for name in package.__all__:
            assert hasattr(package, name), f"{package.__name__}.{name}"


def test_every_class_that_a_guide_names_can_be_imported() -> None:
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        page = str(path.relative_to(ROOT))
        if page in INSIDE:
            continue
        # The README has a map of the parts, which are boxes there.
        parts = {"Supervisor"} if page == "README.md" else set()
        public = PUBLIC | (set(storage.__all__) if page == "docs/storage.md" else set()) | parts
        named = set(BY_NAME.findall(path.read_text())) & set(CLASSES)
        assert named <= public, f"{page} names {sorted(named - public)}"


def public_members() -> Iterator[tuple[str, Any]]:
    """The public classes and functions, and the public methods and properties of the classes."""
    for name in actors.__all__:
        value = getattr(actors, name)
        yield name, value
        if isinstance(value, type):
            for member, inner in inspect.getmembers(value):
                if not member.startswith("_"):
                    yield f"{name}.{member}", inner.fget if isinstance(inner, property) else inner


def test_every_class_that_a_docstring_names_can_be_imported() -> None:
    for where, member in public_members():
        named = set(BY_NAME.findall(inspect.getdoc(member) or "")) & set(CLASSES)
        assert named <= PUBLIC, f"{where} names {sorted(named - PUBLIC)}"


def test_what_public_methods_give_can_be_imported_for_annotations() -> None:
    checked = 0
    for where, member in public_members():
        if not inspect.isfunction(member) or "." not in where:
            continue
        signature = inspect.signature(member)
        texts = [str(signature.return_annotation)]
        texts += [str(one.annotation) for one in signature.parameters.values() if one.kind is one.VAR_KEYWORD]
        named = {word for text in texts for word in re.findall(r"\w+", text)} & set(CLASSES)
        checked += len(named)
        # Programs do not name what `Domain`, `ReadModel` and `Do` give: a table is `model.table(...)`.
        hidden = {"CompiledDomain", "Decision", "ModelSchema", "ObjectSchema", "TableSchema"}
        assert named - hidden <= PUBLIC, f"{where} gives {sorted(named - hidden - PUBLIC)}"
    assert checked > 30
