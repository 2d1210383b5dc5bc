"""The README and the guides: their examples run and print what they say, and what they name is there."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest

import actors
import actors.errors
import storage.errors
from actors import System
from actors.__main__ import COMMANDS as PROGRAMS
from actors.__main__ import main
from actors.cli import json_values
from actors.repl.commands.registered import META_COMMANDS
from actors.replication.broadcast import WINDOW
from actors.replication.read_replica import READ_BATCH
from actors.writer.batch_budget import MAX_BATCH
from actors.writer.commit_notifier import LINGER_SECONDS
from benchmarks.suite import COMMANDS, QUERIES, RANGES
from storage import OnewriterError
from tests import preloaded
from tests.docs.run_page import blocks_of, examples_of, run

ROOT = Path(__file__).parents[2]
RUNNER = Path(__file__).with_name("run_page.py")
GUIDES = sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))
DECISIONS = sorted(f"docs/decisions/{page.name}" for page in (ROOT / "docs/decisions").glob("*.md"))
PAGES = ["README.md", "CONTRIBUTING.md", *GUIDES, *DECISIONS]
TIMEOUT = 60


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def run_here(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


# -- the examples -------------------------------------------------------------------------------
@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_print_what_it_says(page: str, tmp_path: Path) -> None:
    done = preloaded.run([str(RUNNER), str(ROOT / page), page], tmp_path, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", ["README.md", "docs/first-program.md"])
def test_the_first_program_runs_as_one_file(page: str, tmp_path: Path) -> None:
    program, expected = next(examples_of(text_of(page)))
    (tmp_path / "bookshop.py").write_text(program.text)
    done = run_here(tmp_path, "bookshop.py")
    assert (done.stdout, done.stderr) == (expected, "")


def test_the_program_of_the_readme_is_short_stands_first_and_counts_on_when_it_runs_again(
    tmp_path: Path,
) -> None:
    (program, expected), *others = examples_of(text_of("README.md"))
    assert others == []
    assert program.line < 20
    assert len([line for line in program.text.splitlines() if line.strip()]) <= 30
    for decorator in ("state", "event", "command", "decide", "evolve", "query"):
        assert program.text.count(f"@shop.{decorator}") == 1, decorator
    (tmp_path / "bookshop.py").write_text(program.text)
    assert run_here(tmp_path, "bookshop.py").stdout == expected
    assert run_here(tmp_path, "bookshop.py").stdout == expected.replace("1", "2")


@pytest.mark.parametrize("page", PAGES)
def test_no_block_of_a_page_goes_unchecked(page: str) -> None:
    before = None
    for block in blocks_of(text_of(page)):
        assert block.language in ("python", "text", "sh", "ini", ""), f"{page}:{block.line}"
        if block.language == "text":
            shown = before is not None and before.language == "python" and not block.before.strip()
            assert shown, f"{page}:{block.line} shows the output of no example"
        if not block.language:
            assert (page, "CommandHandler" in block.text) == ("README.md", True), f"{page}:{block.line}"
        before = block


def test_an_example_that_prints_something_else_is_found() -> None:
    page = "# A page\n\n```python\nprint(1)  # -> 1\n```\n\n```python\nprint(2)\n```\n\n```text\n3\n```\n"
    assert [(block.line, expected) for block, expected in examples_of(page)] == [(4, "1\n"), (8, "3\n")]
    main = sys.modules["__main__"]
    try:
        difference = run(page, "page.md")
    finally:
        sys.modules["__main__"] = main
    assert difference is not None
    assert difference.startswith("page.md:8 ")
    assert difference.endswith("-3\n+2")


# -- commands -----------------------------------------------------------------------------------
def shell_lines(page: str) -> Iterator[tuple[str, list[str]]]:
    """The words of every command of a page, in blocks and in the running text, without comments."""
    text = text_of(page)
    found = [line for block in blocks_of(text) if block.language == "sh" for line in block.text.splitlines()]
    found += re.findall(r"`((?:make|onewriter|python -m) [^`]+)`", text)
    for line in found:
        words = shlex.split(line, comments=True)
        if words:
            yield line, words


@cache
def help_of(*program: str) -> str:
    if program[0] != "actors":
        return preloaded.run(["-m", *program, "--help"], ROOT, timeout=TIMEOUT).stdout
    # In this process: tests/actors/cli/test_installed.py starts the programs.
    shown = StringIO()
    with redirect_stdout(shown), pytest.raises(SystemExit):
        main([*program[1:], "--help"])
    return shown.getvalue()


def check_options(line: str, program: tuple[str, ...], words: list[str]) -> None:
    for word in words:
        if word.startswith("--"):
            assert re.search(rf"{word.partition('=')[0]}\b", help_of(*program)), (
                f"{line}: there is no {word} in {program}"
            )


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_exist(page: str) -> None:
    makefile = text_of("Makefile").replace("\\\n", " ")
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())
    for line, words in shell_lines(page):
        match words:
            case ["make", target, *variables]:
                assert target in targets, f"{page}: {line}"
                for name, _, value in (variable.partition("=") for variable in variables):
                    assert f"$({name})" in makefile, f"{page}: {line}"
                    if name == "BENCH":
                        module = target.replace("bench", "benchmarks").replace("-", ".")
                        check_options(line, (module,), shlex.split(value))
            case ["onewriter" | "python", *rest] if rest in (["-m", "actors"], ["--version"]):
                assert help_of("actors"), f"{page}: {line}"
            case ["onewriter", "schema" | "keys" as program, command, *rest]:
                check_options(line, ("actors", program, command), rest)
            case ["onewriter", "archives", "remove", *rest]:
                check_options(line, ("actors", "archives", "remove"), rest)
            case ["onewriter", program, *rest] | ["python", "-m", "actors", program, *rest]:
                assert help_of("actors", program), f"{page}: {line}"
                check_options(line, ("actors", program), rest)
            case ["python", "-m", program, *rest] if program.partition(".")[0] == "benchmarks":
                check_options(line, (program,), rest)
            case ["python" | ".venv/bin/python", "-m", "pytest", *rest]:
                for one in rest:
                    file, _, name = one.partition("::")
                    if not one.startswith("-"):
                        assert (ROOT / file).exists(), f"{page}: {line}"
                        assert not name or f"def {name}(" in text_of(file), f"{page}: {line}"
            case ["cd", _] | ["git", "clone" | "tag" | "push", *_]:
                pass
            case [".venv/bin/pip", "wheel", "--no-deps", "--wheel-dir", _, "."]:
                pass
            case ["python3", "-m", "venv", _] | ["build/released/bin/pip", "install", _]:
                pass
            case ["pip", "install", "."]:
                pass
            case ["env", "-u", "LMDB_DEFAULT_LIB_VERSION", "python", "-m", "lmdb", *_]:
                pass  # tests/storage/files/test_lmdb_engines.py runs it
            case _:
                pytest.fail(f"{page}: nobody checks {line!r}")


# -- names --------------------------------------------------------------------------------------
def anchors_of(page: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_the_links_of_a_page_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (ROOT / page).parent / path if path else ROOT / page
        assert there.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors_of(str(there.resolve().relative_to(ROOT))), f"{page}: {target}"


def test_every_guide_is_in_the_readme() -> None:
    linked = set(re.findall(r"\]\((docs/[\w-]+\.md)\)", text_of("README.md")))
    assert linked == set(GUIDES)
    assert "](CONTRIBUTING.md)" in text_of("README.md")
    assert "](docs/decisions/README.md)" in text_of("README.md")


def test_every_decision_is_in_their_list_and_says_what_a_decision_has_to() -> None:
    listed = re.findall(r"\]\(([\w-]+\.md)\)", text_of("docs/decisions/README.md"))
    assert sorted(listed) == [Path(page).name for page in DECISIONS if not page.endswith("README.md")]
    for page in DECISIONS:
        if not page.endswith("README.md"):
            titles = re.findall(r"^## (.*)$", text_of(page), re.MULTILINE)
            assert titles == ["Context", "Decision", "Measured", "What would change it"], page


def test_every_error_is_explained_in_a_guide() -> None:
    explained = set(re.findall(r"`(\w+)`", "".join(text_of(page) for page in ("README.md", *GUIDES))))
    for module in (actors.errors, storage.errors):
        for name, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, OnewriterError) and not name.startswith("_"):
                assert name in explained, f"{module.__name__}.{name}"


def test_every_public_name_is_in_a_guide() -> None:
    words = set(re.findall(r"\w+", "".join(text_of(page) for page in ("README.md", *GUIDES))))
    assert set(actors.__all__) <= words, set(actors.__all__) - words


def test_every_setting_of_a_system_is_in_the_guide() -> None:
    settings = [
        one for one in inspect.signature(System.open).parameters.values() if one.kind is one.KEYWORD_ONLY
    ]
    text = text_of("docs/operations.md")
    for one in settings:
        assert f"| `{one.name}` |" in text, one.name


def test_the_shell_has_what_the_guide_names() -> None:
    text = text_of("docs/operations.md")
    named = set(re.findall(r"`(:\w+)", text))
    assert named
    assert named <= META_COMMANDS.keys()


def test_the_guide_has_the_exit_codes_and_the_documents_of_every_command() -> None:
    text = text_of("docs/operations.md").partition("## The command line")[2]
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    with_codes = {
        name for first, *_, last in rows if last.startswith("0 ") for name in re.findall(r"`(.*?)`", first)
    }
    assert with_codes == PROGRAMS.keys()
    with_documents = {name for row in rows for name in re.findall(r"`onewriter ([a-z]+)", row[0])}
    assert with_documents == PROGRAMS.keys() - {"repl"}, "statements of the shell have rows of their own"


def test_the_guide_says_what_values_become_in_json() -> None:
    rows = [line for line in (json_values.__doc__ or "").splitlines() if line.startswith("| ")]
    assert rows
    assert set(rows) <= set(text_of("docs/operations.md").splitlines())


def test_the_numbers_of_the_architecture_are_those_of_the_code() -> None:
    text = " ".join(text_of("docs/architecture.md").split())
    assert f"up to {MAX_BATCH:,} commands" in text
    assert f"The limit of {MAX_BATCH:,}" in text
    assert f"the replica reads {READ_BATCH:,} events" in text
    assert f"more than {WINDOW:,} events behind" in text
    assert f"or {LINGER_SECONDS * 1e3:g} ms later" in text


def table_of_figures() -> str:
    text = text_of("docs/benchmarks.md")
    return text[text.index("<!-- figures: make bench -->") : text.index("<!-- end of figures")]


def test_the_figures_of_the_readme_are_those_of_the_table() -> None:
    text = text_of("README.md").partition("## Figures")[2].partition("\n## ")[0]
    said = re.search(r"whole\stable\]\(\S+\) has (\d+) lines", text)
    rows = [line for line in table_of_figures().splitlines() if re.match(r"\| .*\d", line)]
    assert said is not None
    assert int(said[1]) == len(rows)
    table = re.findall(r"^\| .*$", text, re.MULTILINE)
    shown = re.findall(r"\d+(?:,\d{3})+", "".join(table))
    assert len(shown) == 11
    measured = set(
        re.findall(r"\d+(?:,\d{3})+", "".join(line.rpartition("|")[0].rpartition("|")[0] for line in rows))
    )
    assert set(shown) <= measured


def test_the_lines_of_the_table_of_figures_are_lines_of_the_benchmarks() -> None:
    figures = table_of_figures()
    lines = [line.split("|")[1].strip() for line in figures.splitlines() if line.startswith("| ")]
    lines = [line for line in lines if not line.endswith(" a second") and "applied" not in line]
    assert lines
    assert set(lines) <= {entry.label for entry in (*COMMANDS, *QUERIES, *RANGES)}


def test_a_block_that_is_never_closed_is_reported() -> None:
    with pytest.raises(ValueError, match="line 3 is never closed"):
        list(blocks_of("# A page\n```python\nprint(1)\n"))
