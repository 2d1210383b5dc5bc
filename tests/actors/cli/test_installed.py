"""The command line as it is installed: `onewriter` and `python -m actors`, started in another directory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from pathlib import Path

import pytest

from actors import System
from actors.__main__ import COMMANDS, main
from tests import preloaded
from tests.system.leavers import Join, club

BIN = Path(sys.executable).parent
PROGRAMS = ("onewriter", "python -m actors")
PAGES = (
    "",
    *COMMANDS,
    *(
        f"{name} {one}"
        for name, command in COMMANDS.items()
        for one in getattr(import_module(command.module), "SUBCOMMANDS", ())
    ),
)
"""The commands that have a page of help, those of commands included; it is a page for "", too."""
PERSONAL = ("forget", "keys", "keys new", "keys show", "keys rotate")
"""Pages whose examples are about a store with personal fields, which the demo's has not."""
NOON = "2026-12-01T12:00:00Z"
"""A moment in examples, which the test replaces by its own time."""
TIMEOUT = 120


def run(
    line: str, folder: Path, stdin: str = "", programs: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell with the programs of this Python's environment, or else those of `programs`."""
    assert (BIN / "onewriter").exists(), f"the package is not installed in {BIN}: run make .venv/.with-dev"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    path = [str(folder) for folder in (programs, BIN) if folder] + [os.environ["PATH"]]
    environment |= {"PATH": os.pathsep.join(path), "COLUMNS": "120"}
    return subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


@cache
def help_of(program: str, command: str) -> str:
    """The help as `program` shows it, in this process; that a program which is started shows the same is
    tested below.
    """
    shown = StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(shown):
        patch.setenv("COLUMNS", "120")
        with pytest.raises(SystemExit) as ended:
            main([*command.split(), "--help"], program)
    assert ended.value.code == 0
    return shown.getvalue()


def examples_of(page: str) -> list[str]:
    return re.findall(r"^  (.*)$", page.partition("\nexamples:\n")[2].partition("\n\n")[0], re.MULTILINE)


@pytest.mark.parametrize("command", PAGES)
def test_help_has_examples_and_exit_codes_and_is_the_same_by_both_names(command: str) -> None:
    by_script, by_module = (help_of(program, command) for program in PROGRAMS)
    assert by_script.startswith(f"usage: {f'onewriter {command}'.strip()} ")
    assert len(examples_of(by_script)) >= 2
    assert "\nexit codes:\n  0 " in by_script

    def unified(page: str, program: str) -> list[str]:
        return page.replace(program, "PROGRAM").split()

    assert unified(by_script, "onewriter") == unified(by_module, "python -m actors")


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("command", ["", "repl", "schema show"])
def test_a_program_that_is_started_shows_this_help(program: str, command: str, tmp_path: Path) -> None:
    done = run(f"{program} {command} --help", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, help_of(program, command), "")


@pytest.fixture
def forking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `onewriter` runs the installed script in a fork of a process that has the engine."""
    folder = tmp_path_factory.mktemp("forking")
    preloaded.stand_in(BIN / "onewriter", folder)
    return folder


def work(examples: list[str], folder: Path, done: set[str], programs: Path) -> None:
    """Run the lines of examples that are not `done` yet; the first of all starts the program as users do."""
    for example in examples:
        line = example.partition("#")[0].strip().replace(NOON, f"{datetime.now(UTC).isoformat()}")
        if line in done:
            continue  # Several pages begin with making the same store.
        ended = run(line, folder, programs=programs if done else None)
        assert ended.returncode == 0, f"{line}\n{ended.stdout}{ended.stderr}"
        if "--json" in line:
            assert all(isinstance(json.loads(one), dict) for one in ended.stdout.splitlines()), line
        done.add(line)


def test_every_example_of_the_help_works_as_it_is_written(tmp_path: Path, forking: Path) -> None:
    done: set[str] = set()
    # What is removed is missing in exports and copies.
    for page in sorted((page for page in PAGES if page not in PERSONAL), key="archives remove".__eq__):
        work(examples_of(help_of("onewriter", page)), tmp_path, done, forking)


@pytest.mark.parametrize("page", PERSONAL)
def test_every_example_about_personal_fields_works_as_it_is_written(
    page: str, tmp_path: Path, forking: Path
) -> None:
    if page != "keys new":
        assert run("onewriter keys new master.key", tmp_path, programs=forking).returncode == 0
        with System.open(tmp_path / "shop", club, replicas=1, master_key=tmp_path / "master.key") as system:
            system.execute_many([Join(f"customer-{number}", "Ann", "long") for number in (17, 18)])
        (tmp_path / "my_shop.py").write_text("from tests.system.leavers import club as shop\n")
        (tmp_path / "leavers.txt").write_text("customer-18\n")
    work(examples_of(help_of("onewriter", page)), tmp_path, {"a real start is tested above"}, forking)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_version_is_that_of_the_package(program: str, tmp_path: Path) -> None:
    assert run(f"{program} --version", tmp_path).stdout == f"onewriter {version('onewriter')}\n"


def test_a_checkout_that_is_not_installed_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "onewriter from a checkout that is not installed\n"


@pytest.mark.parametrize(
    ("program", "arguments", "error"),
    [
        ("onewriter", "", ": the following arguments are required: COMMAND; see {program} --help"),
        ("onewriter", "rebiuld", ": argument COMMAND: invalid choice: 'rebiuld'"),
        ("onewriter", "--json demo", ": unrecognized arguments: --json; see"),
        ("onewriter", "rebuild", " rebuild: the following arguments are required: MODEL, --store, --domain"),
        ("onewriter", "demo --replicas no", " demo: argument --replicas: 'no' is not a whole number"),
        ("python -m actors", "", ": the following arguments are required: COMMAND; see {program} --help"),
        ("python -m actors", "verify a b", " verify: unrecognized arguments: b; see {program} verify --help"),
    ],
)
def test_a_wrong_call_is_one_line_that_says_how_the_program_was_called(
    program: str, arguments: str, error: str, tmp_path: Path
) -> None:
    done = run(f"{program} {arguments}", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(program + error.format(program=program))
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("backup a b --share x", "--share: 'x' is not a share of the time, such as 0.25"),
        ("backup a b --max-bytes-per-second x", "--max-bytes-per-second: 'x' is not a number of bytes"),
        ("restore a b --at noon", "--at: 'noon' is not a time such as 2026-12-01T12:00:00Z"),
        ("restore a b --expect x", "--expect: 'x' is not a whole number"),
        ("restore a b --position -1", "--position: must be at least 0, not -1"),
        ("verify a --chain 3:x", "--chain: '3:x' is not POSITION:HEX"),
        ("closed a --limit x", "--limit: 'x' is not a whole number"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_what_would(
    arguments: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments.split(), "onewriter")
    assert ended.value.code == 2
    assert f": argument {error}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        "verify .",
        "rebuild catalogue --store . --domain shop",
        "rebuild nothing --store . --domain shop",
        "repl --domain nothing:at_all",
        "demo --path .",
    ],
)
def test_what_cannot_begin_says_so_in_one_line_on_standard_error(
    arguments: str, tmp_path: Path, forking: Path
) -> None:
    (tmp_path / "letter.txt").write_text("dear reader")
    done = run(f"onewriter {arguments}", tmp_path, programs=forking)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


NOTES = """
from actors import Domain
notes = Domain("notes")

@notes.state(stream="note-{name}")
class Note:
    name: str

@notes.event(Note)
class Written:
    name: str

@notes.command(Note)
class Write:
    name: str

@notes.decide
def write(note: Note | None, command: Write):
    yield Written(command.name)

@notes.evolve
def written(note: Note | None, event: Written) -> Note:
    return Note(event.name)

board = notes.read_model("board")
rows = board.table("rows", key="name")

@board.on
def on_written(event: Written, tables):
    tables[rows].put({"name": event.name})
"""


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("workers", ["thread", "process"])
def test_a_domain_in_the_current_directory_is_found(program: str, workers: str, tmp_path: Path) -> None:
    (tmp_path / "my_notes.py").write_text(NOTES)
    options = f"--domain my_notes:notes --replicas 1 --workers {workers}"
    done = run(f"{program} repl here {options}", tmp_path, "Write a\n:replicas\n")
    assert done.returncode == 0, done.stderr
    assert "1 replicas of a log of 1 events" in done.stdout
    done = run(f"{program} rebuild board --store here --domain my_notes:notes --json", tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["rebuilt"] == "board"


def test_a_reader_that_closes_the_output_ends_it_without_a_word(tmp_path: Path) -> None:
    lines = "ListProduct lamp Lamp light 5\n" + ":log\n" * 2000
    done = run("{ onewriter repl shop; echo $? > code; } | head -1", tmp_path, lines)
    assert done.stdout.startswith("done; product-lamp is at version 1")
    assert (done.stderr, (tmp_path / "code").read_text()) == ("", "1\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    assert run("onewriter repl shop", tmp_path, "ListProduct lamp Lamp light 5\n").returncode == 0
    done = run("onewriter verify shop --json > /dev/full", tmp_path)
    assert (done.returncode, done.stderr) == (1, "OSError: [Errno 28] No space left on device\n")
