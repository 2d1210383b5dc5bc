"""Runs the python blocks of one page, in order and in one namespace, and compares what each prints.

`python run_page.py PAGE NAME`, in an empty directory; a program of its own, so that a page that hangs or
crashes affects no other. A block prints what its `# -> ` comments say, or what the ```text block right after
it says, or nothing. Lines keep their numbers, so errors and tracebacks point into the page.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import re
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(\w*)$")
ARROW = re.compile(r"# -> (.*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the number of its first line, its text, and the text before it."""

    language: str
    line: int
    text: str
    before: str


def blocks_of(page: str) -> Iterator[Block]:
    """Every fenced block of a page in order; raises ValueError for a fence that is never closed."""
    language, start, inside, between = None, 0, [], []
    for number, line in enumerate(page.splitlines(), 1):
        fence = FENCE.match(line)
        if language is None:
            if fence:
                language, start, inside = fence[1], number + 1, []
            else:
                between.append(line)
        elif line == "```":
            yield Block(language, start, "".join(f"{one}\n" for one in inside), "\n".join(between))
            language, between = None, []
        else:
            inside.append(line)
    if language is not None:
        raise ValueError(f"the block that begins at line {start} is never closed")


def examples_of(page: str) -> Iterator[tuple[Block, str]]:
    """Every python block and what it has to print."""
    blocks = list(blocks_of(page))
    for index, block in enumerate(blocks):
        if block.language != "python":
            continue
        after = blocks[index + 1] if index + 1 < len(blocks) else None
        shown = after.text if after and after.language == "text" and not after.before.strip() else None
        arrows = "".join(f"{found[1]}\n" for line in block.text.splitlines() if (found := ARROW.search(line)))
        if shown is not None and arrows:
            raise ValueError(f"the block at line {block.line} says twice what it prints")
        yield block, arrows if shown is None else shown


def run(page: str, name: str) -> str | None:
    """Run a page's examples; None when all did as they say, else the difference."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    for block, expected in examples_of(page):
        code = compile("\n" * (block.line - 1) + block.text, name, "exec", dont_inherit=True)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, vars(module))
        if printed.getvalue() != expected:
            lines = difflib.unified_diff(
                expected.splitlines(), printed.getvalue().splitlines(), "the page", "the program", lineterm=""
            )
            return f"{name}:{block.line} prints something else than it says\n" + "\n".join(lines)
    return None


if __name__ == "__main__":
    difference = run(Path(sys.argv[1]).read_text(), sys.argv[2])
    if difference:
        sys.exit(difference)
