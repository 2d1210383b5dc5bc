"""`onewriter unskip STORE MODEL POSITION`: takes the skip of an event back. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.domain_loading import load_model
from actors.cli.json_values import json_line
from actors.cli.program_end import exit_code_of
from actors.cli.rebuild_wait import is_rebuilt
from actors.cli.skip_options import TILL, add_options
from actors.cli.store_directory import require_store
from actors.cli.store_work import opened_for_work

__all__ = ["main"]

EXAMPLES = (
    TILL,
    ("{program} skip till takings 2 --domain actors.demo.till:faulty", "it goes on without that event"),
    (
        "{program} unskip till takings 2 --domain actors.demo.till:fixed",
        "the projection is fixed: it counts",
    ),
)
EXIT_CODES = {
    "0": "the event counts again, and every replica serves the new tables",
    "1": "it failed, the event was not skipped, or the rebuild stopped; standard error has the reason",
    "2": "the call was wrong, or there is no such store, domain or model",
    "130": "interrupted; if the skip is taken back, the rebuild continues when the store is opened again",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Take a skip back and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "unskip",
        "Take the skip of an event back, and rebuild the model so that the event counts again. Fix its "
        "projection first. No other process may have the store open; in a running program, "
        "System.unskip_event does the same.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    add_options(parser)
    options = parser.parse_args(arguments)

    def unskip() -> None:
        domain, model = load_model(options.domain, options.model)
        require_store(options.store)
        with opened_for_work(options.store, domain, archives_path=options.archives_path) as system:
            system.unskip_event(model, options.position)
            while not is_rebuilt(system, model):
                pass
        if options.json:
            print(json_line({"model": model.name, "unskipped_position": options.position}))
            return
        print(
            f"model {model.name} does not skip the event at position {options.position:,} any more, and is "
            "rebuilt"
        )

    return exit_code_of(unskip, EXIT_CODES["130"].partition("; ")[2])
