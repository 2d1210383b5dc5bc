"""The mistakes found while a domain is compiled, gathered so that the user sees all of them at once.

Filled on the thread that compiles the domain.
"""

from __future__ import annotations

from actors.errors import DomainError


class Problems:
    """Texts in the order they were found, each with the place in the user's source."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, location: str, text: str) -> None:
        self.texts.append(f"{location}: {text}")

    def raise_any(self, domain: str) -> None:
        """Raises ``DomainError`` with every mistake found, if there is one."""
        if self.texts:
            count = "a mistake" if len(self.texts) == 1 else f"{len(self.texts)} mistakes"
            raise DomainError(
                f"domain {domain!r} has {count}:\n" + "\n".join(f"  {p}" for p in self.texts), self.texts
            )
