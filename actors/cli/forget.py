"""`onewriter forget STORE SUBJECT ...`: destroys the keys of people, and fills models again. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from actors.cli.archive_opening import opening_settings
from actors.cli.archive_options import add_archives_path
from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.domain_loading import add_domain, load_domain
from actors.cli.given_names import add_names, given_names
from actors.cli.json_values import json_line
from actors.cli.key_options import add_keys
from actors.cli.program_end import exit_code_of
from actors.cli.rebuild_wait import is_rebuilt
from actors.cli.store_directory import require_store
from actors.cli.store_work import opened_for_work
from actors.domain.domain import Domain
from actors.runtime.forgetting import Forgotten
from actors.system.system import System

__all__ = ["main"]

EXAMPLES = (
    ("{program} forget shop customer-17 --domain my_shop:shop --master-key master.key", "one person"),
    (
        "{program} forget shop --from leavers.txt --domain my_shop:shop --master-key master.key",
        "each line of a file is a subject",
    ),
    ("{program} compact shop", "then leave nothing of them in free pages"),
)
EXIT_CODES = {
    "0": "they are forgotten, and every model is filled again",
    "1": "it failed; standard error has the reason",
    "2": "the call was wrong, or there is no such store or domain",
    "130": "interrupted; what has begun is finished when the store is opened next",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Forget people and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "forget",
        "Forget people: destroy the keys of their personal fields, so that nobody reads these again, and "
        "fill the read models again that may show them. Several at once take hardly longer than one. No "
        "other process may have the store open for writing; in a running program, System.forget does the "
        "same. docs/forgetting.md says what remains.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("store", metavar="STORE", help="the store's directory")
    add_names(parser, "subject", "what identifies the person in events")
    add_domain(parser)
    add_keys(parser)
    add_archives_path(parser)
    parser.add_argument("--who", default="onewriter forget", metavar="NAME", help="who does it; kept")
    parser.add_argument("--why", default="", metavar="TEXT", help="why; kept")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    options = parser.parse_args(arguments)

    def forget() -> None:
        domain = load_domain(options.domain)
        require_store(options.store)
        subjects = given_names(options, "subject")
        settings = opening_settings(options)
        with opened_for_work(options.store, domain, **settings) as system:
            done = system.forget(subjects, who=options.who, why=options.why)
            _wait(system, domain, done)
        if done.at_next_opening:
            # This opening fills the inline models.
            opened_for_work(options.store, domain, **settings).close()
        _show(done, options.json)

    return exit_code_of(forget, EXIT_CODES["130"].partition("; ")[2])


def _wait(system: System, domain: Domain, done: Forgotten) -> None:
    """Wait until every model is filled again. Raises what `System.wait_rebuilt` does."""
    for model in domain.declarations.read_models:
        while model.name in done.models and not is_rebuilt(system, model):
            pass
    system.wait_applied(timeout=60.0)


def _show(done: Forgotten, as_json: bool) -> None:
    if as_json:
        document = {
            "forgotten": len(done.subjects),
            "subjects": done.subjects,
            "position": done.position,
            "models": (*done.models, *done.at_next_opening),
        }
        print(json_line(document), flush=True)
        return
    models = ", ".join((*done.models, *done.at_next_opening)) or "none"
    print(f"{len(done.subjects):,} forgotten; models filled again: {models}", flush=True)
