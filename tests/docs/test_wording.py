"""README, the guides, docstrings and errors do without the phrases that docs/decisions/words.md lists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDS = ROOT / "docs/decisions/words.md"
PAGES = sorted(
    str(page.relative_to(ROOT))
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
    if page.exists()
)
MODULES = [module for folder in ("actors", "storage", "examples") for module in (ROOT / folder).rglob("*.py")]
WIDTH = 110
CODE = re.compile(r"^```.*?^```$|`[^`]*`|\]\([^)]*\)", re.MULTILINE | re.DOTALL)


def phrases() -> list[tuple[str, str]]:
    """The phrases of the table, each with what to write instead."""
    table = WORDS.read_text().partition("| not | but |\n")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[1:]]
    return [(phrase, instead) for found, instead in rows for phrase in re.findall(r"`([^`]+)`", found)]


def found_in(text: str, phrase: str) -> Iterator[int]:
    """The lines in which a phrase begins, in any case and over ends of lines; not in code and links."""
    prose = CODE.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), text)
    pattern = r"\b" + r"\s+".join(map(re.escape, phrase.split())) + r"\b"
    for match in re.finditer(pattern, prose, re.IGNORECASE):
        yield prose.count("\n", 0, match.start()) + 1


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_none_of_the_phrases_that_are_not_used(page: str) -> None:
    text = (ROOT / page).read_text()
    wrong = [
        f"{page}:{line}: {phrase!r}: write {instead}"
        for phrase, instead in phrases()
        for line in found_in(text, phrase)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_text_in_the_code_has_such_a_phrase() -> None:
    wrong = []
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text())):
            if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
                continue
            wrong += [
                f"{module.relative_to(ROOT)}:{node.lineno}: {phrase!r}: write {instead}"
                for phrase, instead in phrases()
                if phrase.split()[0] in node.value.lower() and [*found_in(node.value, phrase)]
            ]
    assert len(MODULES) > 500
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_the_lines_of_a_page_fit(page: str) -> None:
    """But for rows of tables and what is in a block or a picture."""
    wrong = []
    block = False
    for number, line in enumerate((ROOT / page).read_text().splitlines(), 1):
        block ^= line.startswith("```")
        if len(line) > WIDTH and not block and not line.startswith(("|", "```", "![")):
            wrong.append(f"{page}:{number}: {len(line)} characters")
    assert not wrong, "\n".join(wrong)


def test_the_table_has_the_phrases_that_were_removed_from_every_page() -> None:
    assert {"anew", "lets go of", "in the moment of", "is told of", "in vain"} <= dict(phrases()).keys()


def test_a_phrase_is_found_in_prose_alone() -> None:
    text = "Built\nAnew, or in\nvain.\n\n```python\nanew = 1\n```\n\n`anew` and [it](anew.md) and renewed\n"
    assert list(found_in(text, "anew")) == [2]
    assert list(found_in(text, "in vain")) == [2]
