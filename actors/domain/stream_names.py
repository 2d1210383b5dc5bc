"""The templates that name streams and tags, held against the classes whose fields fill them.

Runs when a domain is compiled, on that thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from actors.domain.declarations import Declared
from actors.domain.field_checks import FieldChecks
from actors.domain.problems import Problems
from actors.domain.templates import Template, called_tags, misfit, template_tags
from storage.value_text import short_repr


class StreamNames:
    """Parses the templates of one domain's classes; mistakes go to ``problems``."""

    def __init__(self, checks: FieldChecks, problems: Problems) -> None:
        self._checks = checks
        self._problems = problems

    def template(self, one: Declared, text: Any, what: str = "stream") -> Template:
        """The template, or a substitute for a text that is none."""
        try:
            if not isinstance(text, str) or not text:
                raise ValueError("it must be a str that is not empty")
            return Template(text)
        except ValueError as error:
            self._problems.add(one.location, f"{one.kind} {one.name}: {what} template {text!r}: {error}")
            return Template("broken")

    def require_fields(self, one: Declared, template: Template, *, tag: bool = False) -> None:
        """The class must have the template's fields, of types that can be part of a name."""
        if not hasattr(one.cls, "__dataclass_fields__"):
            return
        checks = self._checks.fields(one.cls)
        personal = self._checks.personal.get(one.cls, {})
        what = "tag template" if tag else "stream template"
        for field in template.fields:
            if field not in one.cls.__dataclass_fields__:
                self._problems.add(
                    one.location,
                    f"{one.kind} {one.name}: {what} {template.text!r} names {field!r}, which it does not "
                    "have",
                )
            elif field in personal:
                self._problems.add(
                    one.location,
                    f"{one.kind} {one.name}: {what} {template.text!r} names the personal field {field!r}, "
                    "and names are stored as they are; use a field that identifies the person without saying "
                    "anything of them",
                )
            elif field in checks and (why := misfit(checks[field], optional=tag)):
                self._problems.add(
                    one.location, f"{one.kind} {one.name}: {what} {template.text!r}: {field} {why}"
                )

    def tags(self, one: Declared) -> Callable[[Any], tuple[str, ...]] | None:
        """The function that gives an event its tags, None for an event without."""
        given = one.tags
        if given is None:
            return None
        if callable(given):
            return called_tags(one.name, given)
        if not isinstance(given, str | list | tuple):
            self._problems.add(
                one.location,
                f"{one.kind} {one.name}: tags= is a template such as 'customer-{{customer}}', a list of "
                "them, "
                f"or a function from the event to its tags, not {short_repr(given)}",
            )
            return None
        templates = []
        for text in [given] if isinstance(given, str) else given:
            template = self.template(one, text, "tag")
            self.require_fields(one, template, tag=True)
            templates.append(template)
        return template_tags(one.name, templates)

    def compare(self, declared: Iterable[Declared]) -> None:
        """Two templates that may give one name would mix the events of two aggregates in one stream."""
        seen: dict[str, tuple[Template, Declared]] = {}
        for one in declared:
            if not isinstance(one.template, str) or not one.template or one.template in seen:
                continue
            try:
                template = Template(one.template)
            except ValueError:
                continue
            for other, first in seen.values():
                if template.may_name_the_same_as(other):
                    self._problems.add(
                        one.location,
                        f"{one.kind} {one.name}: streams of {template.text!r} may be named like those of "
                        f"{other.text!r} ({first.kind} {first.name} at {first.location}); begin them "
                        "differently",
                    )
            seen[one.template] = (template, one)
