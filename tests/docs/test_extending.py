"""The engine of docs/extending.md, as it stands there, held to what every engine promises."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from storage.tables.schema import ENGINES
from tests.docs.run_page import examples_of

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


def engine_of_the_page() -> ModuleType:
    """A module of the page's blocks that make the engine and its test."""
    module = ModuleType("docs_extending_json_file")
    sys.modules[module.__name__] = module
    try:
        for block, _ in examples_of(PAGE.read_text()):
            exec(compile("\n" * (block.line - 1) + block.text, str(PAGE), "exec"), vars(module))
            if "TestJson" in block.text:
                break
    finally:
        ENGINES.pop("json", None)  # other tests have those that come along
    return module


TestJson = engine_of_the_page().TestJson
