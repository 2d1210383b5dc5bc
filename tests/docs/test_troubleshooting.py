"""docs/troubleshooting.md has every error, and every sentence that health can say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import actors.errors
import storage.errors
from storage import OnewriterError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/troubleshooting.md").read_text()
REPORT = "actors/runtime/health_report.py"
SOURCES = {
    "problems": {
        "_problems": (REPORT, "_problems"),
        "parts.log_file.problems": ("actors/runtime/log_file_watch.py", "check"),
        "moved_away": ("actors/replication/replica_slot.py", "moved_away"),
        "parts.room.problems": ("actors/runtime/room_watch.py", "_look_at_map"),
        "room_watch._look_at_disk": ("actors/runtime/room_watch.py", "_look_at_disk"),
        "parts.replicas.problem": ("actors/worker_processes/parent/worker_handle.py", "problem"),
        "_hanging": (REPORT, "_hanging"),
        "_hangs": (REPORT, "_hangs"),
        "_lagging": (REPORT, "_lagging"),
        "_process_problems": (REPORT, "_process_problems"),
        "parts.consumers.problems": ("actors/subscriptions/consumer_registry.py", "problems"),
        "problems_of": ("actors/subscriptions/consumer_status.py", "problems_of"),
        "_put_off": ("actors/subscriptions/consumer_status.py", "_put_off"),
        "parts.marks.problems": ("actors/kernel/delivery_marks.py", "problems"),
        "_copy_problems": ("actors/runtime/continuous_copy.py", "problem"),
    },
    "warnings": {
        "parts.changed_code.warnings": ("actors/runtime/changed_code.py", "_text"),
        "parts.room.warnings": ("actors/runtime/room_watch.py", "_look_at_map"),
        "_personal_warnings": (REPORT, "_personal_warnings"),
    },
}
"""Where the sentences are, by who is asked for them: a file, and a function in it."""
ELSEWHERE = {"parts.log_file.problems", "parts.room.problems", "parts.replicas.problem"}
"""Who is asked within `_problems`."""


def function(path: str, name: str) -> ast.FunctionDef:
    [found] = [
        node
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    return found


def texts(node: ast.AST) -> Iterator[str]:
    """The outermost texts in a piece of code, with a NUL for each value that is put in.

    Left out is what is given a name first: a part of a sentence.
    """
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(one.value) if isinstance(one, ast.Constant) else "\0" for one in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif (
        not isinstance(node, ast.Assign)
        or not isinstance(node.targets[0], ast.Name)
        or isinstance(node.value, ast.List | ast.ListComp)
    ):
        for child in ast.iter_child_nodes(node):
            yield from texts(child)


def sentences(path: str, name: str) -> set[str]:
    """The beginnings of the sentences that a function makes: up to the first sign that divides one."""
    made = function(path, name)
    body = made.body[ast.get_docstring(made) is not None :]
    found = {text for statement in body for text in texts(statement)}
    # Parts of a sentence, such as a plural's ending, have few words, or go on from another part.
    whole = {
        text
        for text in found
        if len(re.findall(r"\w+", text.replace("\0", "x"))) > 3 and text[0] not in ",:; "
    }
    return {re.split(r"[:;]|, (?!and its version|so no|and more)", text)[0].strip() for text in whole}


def shown(kind: str) -> list[str]:
    """The sentences in the page's table of problems or warnings."""
    table = PAGE.partition(f"| `health().{kind}` |")[2].partition("\n\n")[0]
    return [re.match(r"\| `([^`]+)`", row)[1] for row in table.splitlines()[2:]]  # type: ignore[index]


def pattern(sentence: str) -> re.Pattern[str]:
    return re.compile(".*?".join(map(re.escape, sentence.split("\0"))) + ".*")


def test_every_error_is_on_the_page() -> None:
    tables = PAGE.partition("## Every error\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+)`", tables))
    for module in (actors.errors, storage.errors):
        for name, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, OnewriterError) and not name.startswith("_"):
                assert name in named, name
                named_once = re.findall(rf"^\| [^|]*`{name}`[^|]*\|", tables, re.MULTILINE)
                assert len(named_once) <= 1, f"{name} is in two rows"


@pytest.mark.parametrize("kind", ["problems", "warnings"])
def test_every_sentence_of_health_is_on_the_page(kind: str) -> None:
    rows = shown("problems") + shown("warnings")
    for path, name in SOURCES[kind].values():
        found = sentences(path, name)
        assert found, f"{path}: {name} makes no sentence"
        for sentence in found:
            assert any(pattern(sentence).fullmatch(row) for row in rows), f"{path}: {name}: {sentence!r}"


@pytest.mark.parametrize("kind", ["problems", "warnings"])
def test_no_sentence_of_the_page_is_one_that_health_does_not_say(kind: str) -> None:
    known = [pattern(one) for place in SOURCES[kind].values() for one in sentences(*place)]
    rows = shown(kind)
    assert rows
    for row in rows:
        assert any(one.fullmatch(row) for one in known), row


def test_who_is_asked_for_sentences_is_known() -> None:
    """A new one in the report has to be among the sources above."""
    build = function(REPORT, "build_health")
    [problems] = [
        node.value
        for node in ast.walk(build)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "problems"
    ]
    assert isinstance(problems, ast.Tuple)
    asked = {ast.unparse(one.value.func) for one in problems.elts}  # type: ignore[attr-defined]
    assert asked | ELSEWHERE <= SOURCES["problems"].keys()
    assert "problems_of" in ast.unparse(function("actors/subscriptions/consumer_registry.py", "problems"))
    inside = {
        ast.unparse(node.func)
        for node in ast.walk(function(REPORT, "_problems"))
        if isinstance(node, ast.Call)
    }
    assert {one for one in inside if re.search(r"problems?$", one)} == ELSEWHERE
    made = next(node for node in ast.walk(build) if isinstance(node, ast.Return)).value
    assert isinstance(made, ast.Call)
    warned = {ast.unparse(node.func) for node in ast.walk(made) if isinstance(node, ast.Call)}
    assert {one for one in warned if "warnings" in one} == SOURCES["warnings"].keys()


@pytest.mark.parametrize(
    ("title", "rows"),
    [("| you see | go to |", 15), ("## Every error\n", 30), ("## Every sentence of health\n", 30)],
)
def test_each_row_of_the_tables_says_where_to_go(title: str, rows: int) -> None:
    """An entry, a guide, or in a few words what to do."""
    lines = [line for line in PAGE.partition(title)[2].splitlines() if line.startswith("| ")]
    assert len(lines) >= rows
    assert all(line.count("|") == 3 and len(line.split("|")[2].strip()) > 4 for line in lines[:rows])


def test_every_entry_says_how_it_is_known_to_be_fixed_and_what_was_lost() -> None:
    entries = re.split(
        r"^###? ",
        PAGE.partition("## The program does not start")[2].partition("## Every error")[0],
        flags=re.M,
    )
    headed = [one for one in entries if len(one.splitlines()) > 3]
    assert len(headed) > 15
    for entry in headed:
        title = entry.splitlines()[0]
        assert re.search(r"\b(lost|Lost|loses\s+nothing)\b", entry), title
        assert re.search(r"\bFixed:|nothing\s+is\s+lost|Lost:\s+nothing", entry), title
