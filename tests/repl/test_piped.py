"""Sessions whose input is piped: what they print, where they stop, and with which exit code."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import pytest

from actors import System
from actors.demo.shop import shop
from actors.repl import program
from actors.repl.commands.registered import META_COMMANDS
from actors.repl.render import PlainOutput
from actors.repl.shell import Shell
from tests import preloaded

PROJECT = Path(__file__).parents[2]


def session(text: str | bytes, *arguments: str, cwd: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    """Run a whole session; its output as text."""
    done = subprocess.run(
        [sys.executable, "-m", "actors", "repl", *arguments],
        input=text.encode() if isinstance(text, str) else text,
        capture_output=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def forked(text: str, *arguments: str, cwd: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    """Run a whole session as `session` does, in a fork of a process that has imported the engine."""
    return preloaded.run(["-m", "actors", "repl", *arguments], cwd, stdin=text.encode())


Session = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Session:
    """Runs a whole session as `session` does, in this process: for what does not ask for one of its own."""

    def run(text: str | bytes, *arguments: str) -> subprocess.CompletedProcess[str]:
        given = text.encode() if isinstance(text, str) else text
        output, errors = BytesIO(), BytesIO()
        with monkeypatch.context() as patch:
            patch.setattr(program, "_end_in_order", lambda: None)
            patch.setattr(sys, "stdin", TextIOWrapper(BytesIO(given)))
            patch.setattr(sys, "stdout", TextIOWrapper(output, "utf-8", write_through=True))
            patch.setattr(sys, "stderr", TextIOWrapper(errors, "utf-8", write_through=True))
            code = program.main(arguments)
            return subprocess.CompletedProcess(
                arguments, code, output.getvalue().decode(), errors.getvalue().decode()
            )

    return run


LAMP = 'ListProduct sku=lamp name="Desk lamp" category=light price=1999\n'


def test_commands_and_queries_are_carried_out_line_by_line() -> None:
    done = session(f"# a lamp\n\n{LAMP}Cheapest limit=1 --strong\n")
    assert done.returncode == 0
    assert 'ProductListed(sku="lamp", name="Desk lamp", category="light", price=1999)' in done.stdout
    assert done.stdout.splitlines()[-4:] == [
        "1 row at position 1",
        "sku   name       category  price  description",
        "----  ---------  --------  -----  -----------",
        "lamp  Desk lamp  light      1999",
    ]
    assert done.stderr.splitlines() == ["this store is thrown away at the end; name a PATH to keep one"]


def test_nothing_is_echoed(piped: Session) -> None:
    done = piped("# only a comment\n\n   \n")
    assert (done.returncode, done.stdout) == (0, "")


def test_replicas_may_be_processes() -> None:
    done = forked(LAMP + "Cheapest limit=1\n", "--workers", "process", "--replicas", "2")
    assert done.stdout.splitlines()[-1] == "lamp  Desk lamp  light      1999"
    assert done.returncode == 0


def test_a_session_reads_its_own_writes(piped: Session) -> None:
    prices = "".join(f"RepriceProduct lamp {price}\nProductDetails lamp\n" for price in range(1, 40))
    done = piped(LAMP + prices)
    shown = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("price ")]
    assert (done.returncode, shown) == (0, [str(price) for price in range(1, 40)])


def test_statements_with_open_brackets_go_on_in_the_next_line(piped: Session) -> None:
    done = piped(
        LAMP + "RestockProduct(lamp,  # how many\n\n  10)\n"
        "PlaceOrder(o1, ann, placed_at=2024-05-01T10:30, lines=[\n  OrderLine(lamp, 2)\n])\n"
        "CustomerOrders ann\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["o1", "ann", "2024-05-01T10:30:00", "2", "3998", "PLACED"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (LAMP.strip(), "line 3: Rejected [product.exists]: product lamp is listed already"),
        ("RepriceProduct lamp price=abc", "line 3: InvalidMessage: RepriceProduct.price must be int"),
        ("RepriceProduct lamp price=(", "line 3: Incomplete: column 27: '(' is not closed"),
        ("RepriceProduct(\nlamp,\n-)", "line 3: InvalidMessage: RepriceProduct.price must be int"),
        ("RepriceProduct(\nlamp,\n)x", "line 3: ParseError: line 3, column 2 of the statement"),
        ("RepriceProduct lamp 5 --expected-version=7", "line 3: ConcurrencyConflict: stream 'product-lamp'"),
        ("RepriceProduct lamp 5 --expect=7", "line 3: UsageError: RepriceProduct has no option --expect"),
        ("RepriceProdukt lamp 5", "line 3: UsageError: there is no command or query RepriceProdukt; did you"),
        ("ProductListed lamp", "line 3: UsageError: ProductListed is an event, not a command or a query"),
        ("Cheapest --after=9 --max-lag=x", "line 3: UsageError: --max-lag must be int | float | timedelta"),
        (":lgo", "line 3: UsageError: there is no :lgo; did you mean :log?"),
        (":log abc", "line 3: UsageError: AFTER must be int, such as 1999, got 'abc'"),
        (":kill nobody", "line 3: UsageError: there is no actor nobody; there are replica-1, replica-2"),
        ('RepriceProduct "lamp 5', "line 3: ParseError: column 16: this quote is not closed on its line"),
    ],
)  # fmt: skip
def test_the_first_error_ends_it_with_its_line_number(piped: Session, line: str, error: str) -> None:
    done = piped(f"{LAMP}# next\n{line}\n:log\n")
    assert done.returncode == 1
    if not line.endswith("("):
        assert done.stderr.splitlines()[-1].startswith(error)
    else:
        # The rest of the file stands inside the bracket.
        assert "line 3: " in done.stderr
    assert "of 1 events" not in done.stdout


def test_the_same_command_id_again_shows_the_first_receipt(piped: Session, store_path: Path) -> None:
    first = piped(f"{LAMP.strip()} --id=one\n", str(store_path))
    again = piped(f"{LAMP.strip()} --id=one\n:log\n", str(store_path), "--domain", "shop", "--write")
    assert (first.returncode, again.returncode) == (0, 0)
    assert again.stdout.startswith(first.stdout)
    assert "1 of 1 events" in again.stdout


def test_input_that_is_not_text_is_refused_with_its_line(piped: Session) -> None:
    done = piped(LAMP.encode() + b"RepriceProduct lamp \xff\n")
    assert done.returncode == 1
    assert "line 2: not UTF-8 text" in done.stderr


def test_quit_ends_it_before_what_follows(piped: Session) -> None:
    done = piped(":quit\nNonsense\n")
    assert (done.returncode, done.stdout) == (0, "")


def test_the_log_and_streams_are_shown_in_pages(piped: Session) -> None:
    done = piped(
        LAMP + "RestockProduct lamp 1\nRestockProduct lamp 2\n:log 0 2\n"
        ":stream product-lamp 2\n:stream none\n:log 9"
    )
    assert done.returncode == 0
    assert "2 of 3 events; the next ones: :log 2" in done.stdout
    assert "stream product-lamp\n" in done.stdout
    assert "stream none has no events" in done.stdout
    assert "no events after position 9; the log ends at 3" in done.stdout


def test_replicas_lag_and_health_are_shown(store_path: Path) -> None:
    shown, errors = StringIO(), StringIO()
    with System.open(store_path, shop, replicas=2) as system:
        shell = Shell(system, PlainOutput(shown, errors), META_COMMANDS)
        assert program.run_lines(shell, BytesIO(LAMP.encode())) == 0
        # Replicas follow in their own time, and what is shown does not wait for them.
        system.wait_applied()
        assert program.run_lines(shell, BytesIO(b":replicas\n:lag\n:health\n")) == 0
    assert errors.getvalue() == ""
    lines = shown.getvalue().splitlines()
    assert "2 replicas of a log of 1 events" in lines
    assert [line.split()[:2] for line in lines if line.startswith("replica-2 ")] == [
        ["replica-2", "0"],
        *(["replica-2", model] for model in ("catalogue", "stock", "sales", "orders", "search", "takings")),
        ["replica-2", "runs"],
    ]
    assert any(line.startswith("ok: ") for line in lines)


@pytest.mark.parametrize("actor", ["replica-1", "replica-2.query-1", "sync", "command-handler"])
def test_a_killed_actor_comes_back_and_nothing_is_lost(piped: Session, actor: str) -> None:
    done = piped(
        f"{LAMP}:kill {actor}\n:kill {actor}\nRepriceProduct lamp 5\n:kill {actor}\nCheapest --strong\n"
    )
    assert done.returncode == 0, done.stderr
    assert (
        f"{actor} died and the supervisor brought it back (restarts: 2). "
        "Nothing is lost: the log is at position 1" in done.stdout
    )
    assert (
        "(restarts: 3). Nothing is lost: the log is at position 2, and every replica has applied it."
        in done.stdout
    )
    assert done.stdout.splitlines()[-1].split() == ["lamp", "Desk", "lamp", "light", "5"]


def test_help_lists_everything_and_explains_one_name(piped: Session) -> None:
    done = piped(":help\n:help PlaceOrder\n:help OrderStatus\n:help watch\n:help Cheapest\n")
    assert done.returncode == 0
    for expected in (
        "RemoveFromCart cart_id sku [quantity=none]",
        ":kill NAME",
        "command PlaceOrder order_id customer placed_at lines",
        "lines      tuple[OrderLine, ...]  must be given",
        "--expected-version=",
        "one of PLACED, CANCELLED",
        "--background",
        "limit  int   10",
        "--max-lag=",
    ):
        assert expected in done.stdout
    assert piped(":help Nothing\n").returncode == 1


def test_a_domain_of_ones_own_is_named_by_module_and_attribute(tmp_path: Path) -> None:
    (tmp_path / "counting.py").write_text(
        "from actors import Domain\n"
        "class Holder: pass\n"
        "holder = Holder(); holder.domain = domain = Domain('counting')\n"
        "@domain.state(stream='counter-{name}')\nclass Counter:\n    name: str\n    value: int\n"
        "@domain.event(Counter)\nclass Added:\n    name: str\n    amount: int\n"
        "@domain.command(Counter, name='counter.Add')\nclass Add:\n    name: str\n    amount: int = 1\n"
        "@domain.decide\ndef add(counter: Counter | None, command: Add):\n"
        "    if command.amount: yield Added(command.name, command.amount)\n"
        "@domain.evolve\ndef added(counter: Counter | None, event: Added) -> Counter:\n"
        "    return Counter(event.name, (counter.value if counter else 0) + event.amount)\n"
    )
    done = forked(
        "counter.Add a\ncounter.Add(a, 0)\n:stream counter-a\n",
        "--domain=counting:holder.domain",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "nothing to do; counter-a is at version 1" in done.stdout
    assert 'Added(name="a", amount=1)' in done.stdout


@pytest.mark.parametrize(
    ("domain", "error"),
    [
        ("shopping", "--domain takes MODULE:ATTRIBUTE, such as actors.demo.shop:shop, or shop or delivery"),
        ("no.such:shop", "importing no.such failed: ModuleNotFoundError"),
        ("actors.demo.shop:nothing", "actors.demo.shop has nothing as nothing, where a Domain is wanted"),
        ("actors:System", "actors has a type as System"),
    ],
)
def test_a_domain_that_is_not_there_is_bad_use(piped: Session, domain: str, error: str) -> None:
    done = piped("", "--domain", domain)
    assert done.returncode == 2
    assert error in done.stderr


def test_a_place_that_holds_no_store_is_refused(piped: Session, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear reader")
    done = piped("", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("NotAStore: ")


@pytest.mark.parametrize("path", ["", "name\udcff/below/" + "a" * 300])
def test_a_path_that_can_not_be_opened_is_one_line(tmp_path: Path, path: str) -> None:
    done = forked("", path, cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("path", [None, "shop"])
def test_whatever_opening_raises_is_one_line_and_nothing_is_logged_beside_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    path: str | None,
) -> None:
    def failing(*_: object, **__: object) -> None:
        logging.getLogger("onewriter.replica").error("a long story")
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(program.System, "open", failing)
    monkeypatch.setattr(program, "_end_in_order", lambda: None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert program.main([str(tmp_path / path)] if path else []) == 1
    assert capsys.readouterr().err == "RuntimeError: can't start new thread\n"
    assert caplog.records == []


def test_what_is_logged_while_it_opens_is_said_once_it_is_open(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    honest = System.open

    def talking(*arguments: object, **options: object) -> System:
        logging.getLogger("onewriter.replica").warning("a replica begins anew")
        return honest(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(program.System, "open", talking)
    with ExitStack() as stack:
        program._opened(stack, shop, str(store_path), {"replicas": 1})
    assert "a replica begins anew" in caplog.messages


LONG = "a" * 100_000


LONG_LINES = [
    LONG,
    f":{LONG}",
    f"{LONG}!",
    f"Cheapest {LONG}",
    f"Cheapest {LONG}=1",
    f"Cheapest({LONG}=1, {LONG}=1)",
    f"Cheapest {LONG}=",
    f"Cheapest limit=-{LONG}(1)",
    f"Cheapest limit={LONG}(1)",
    f"Cheapest --{LONG}",
    f"Cheapest --{LONG}=",
    f"Cheapest --{LONG} --{LONG}",
    f"Cheapest --after={LONG}",
    f"ListProduct {LONG} Lamp x 1",
    f"ListProduct lamp {LONG} x 1",
    f"AddToCart cart ann {LONG}",
    f"RepriceProduct lamp 1 --id={LONG}",
    f"RepriceProduct lamp 1 --expected-version=-{'9' * 4000}",
    f":help {LONG}",
    f":kill {LONG}",
    f":stream {LONG}",
    f":log {LONG}",
    f":watch {LONG}",
    f":watch Cheapest limit={LONG}",
]


def test_what_is_long_is_not_repeated_whole(store_path: Path) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        for line in LONG_LINES:
            said = StringIO()
            program.run_lines(Shell(system, PlainOutput(said, said), META_COMMANDS), BytesIO(line.encode()))
            assert 10 < len(said.getvalue()) < 1000, line[:80]
            assert "a" * 70 not in said.getvalue(), line[:80]
            assert "9" * 70 not in said.getvalue(), line[:80]


def test_piped_sessions_need_no_extra(tmp_path: Path) -> None:
    for name in ("rich", "prompt_toolkit"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not installed')\n")
    done = session(f"{LAMP}:help\n:log\n", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_polite_kill_throws_the_store_away(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "actors", "repl"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=PROJECT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b":replicas\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith(b"3 replicas")
        process.send_signal(number)
        assert process.wait(60) == 128 + number
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_without_the_extra_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(program, "find_spec", lambda name: None if name == "rich" else object())
    assert program.main([]) == 2
    assert "needs rich: pip install 'onewriter[repl]'" in capsys.readouterr().err


def test_the_delivery_domain_has_a_short_name_and_shows_its_process_manager(piped: Session) -> None:
    done = piped(
        "StockUp lamp 5\nPlaceOrder 1 ann lamp 1 1999\n:follow 0 --type=OrderShipped --count=1\n"
        ":process_managers\n"
        ":log --category=payment\n:rebuild overview\nOrderOverview 1 --strong\n",
        "--domain",
        "delivery",
    )
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr
    assert 'order-1 2 OrderShipped(order_id="1")' in done.stdout
    assert "1 process manager\n" in done.stdout
    assert "PaymentCharged" in done.stdout
    assert "payment   charged\n" in done.stdout


# -- watching -----------------------------------------------------------------------------
def test_a_watch_ends_after_its_count_or_its_time(piped: Session) -> None:
    done = piped(LAMP + ":watch Cheapest limit=1 --count=1\n:watch Cheapest(limit=2) --seconds=0.05\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("1 row at position 1") == 2


def test_a_watch_in_the_background_shows_only_what_changed(piped: Session) -> None:
    done = piped(
        LAMP + ":watch Cheapest --background\n:watch Cheapest --background --count=1\n"
        "RestockProduct lamp 5\n:unwatch\nRepriceProduct lamp 5\n:watch ProductDetails lamp --background\n"
        "RepriceProduct lamp 6\n:unwatch\n:unwatch\n"
    )
    assert done.returncode == 0, done.stderr
    # A change of the stock is none of the catalogue.
    assert done.stdout.count("Cheapest: 1 row at position") == 2
    assert (
        "no longer watched: Cheapest\n" in done.stdout
        or "no longer watched: Cheapest, Cheapest\n" in done.stdout
    )
    assert "ProductDetails: at position 3" in done.stdout
    assert "ProductDetails: at position 4" in done.stdout
    assert done.stdout.endswith("nothing is watched in the background\n")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (":watch", "QUERY is missing"),
        (":watch RestockProduct lamp 1", "RestockProduct is a command; only queries can be watched"),
        (":watch Nothing", "there is no command or query Nothing"),
        (":watch Cheapest --count=0", "--count must be more than 0"),
        (":watch Cheapest --strong", ":watch has no option --strong"),
    ],
)
def test_what_can_not_be_watched_is_refused(piped: Session, line: str, error: str) -> None:
    done = piped(f"{line}\n")
    assert done.returncode == 1
    assert f"line 1: UsageError: {error}" in done.stderr
