"""`onewriter schema show DOMAIN`: what a domain stores. Main thread."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence

from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.domain_loading import add_domain, load_code
from actors.cli.errors import CommandLineError
from actors.cli.exit_codes import BAD_USE, DONE
from actors.errors import DomainError
from actors.schema.description import Schema, StoredType

__all__ = ["main"]

EXAMPLES = (
    ("{program} schema show shop", "of the demo's domain, to read"),
    ("{program} schema show shop --json > shop.schema.json", "a file for the repository"),
)
EXIT_CODES = {"0": "done", "2": "the call was wrong, or the domain has mistakes"}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Show a schema and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "schema show",
        "Show what a domain stores. The JSON is the same in every process, and sorted: keep it in a file "
        "beside the code, and later compare with it.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    add_domain(parser, "domain")
    parser.add_argument("--json", action="store_true", help="one JSON document, indented")
    options = parser.parse_args(arguments)
    try:
        schema = load_code(options.domain)[1].schema
    except (CommandLineError, DomainError) as error:
        print(error, file=sys.stderr)
        return BAD_USE
    if options.json:
        print(json.dumps(schema.as_dict(), indent=2, ensure_ascii=False))
    else:
        print("\n".join(_lines(schema)))
    return DONE


def _lines(schema: Schema) -> Iterator[str]:
    yield f"domain {schema.domain}"
    for name, one in sorted(schema.types.items(), key=lambda item: (item[1].kind, item[0])):
        yield ""
        yield from _of_type(name, one)
    if schema.models or schema.managers:
        yield ""
    for name, model in sorted(schema.models.items()):
        yield f"read model {name}, version {model.version}"
    for name, manager in sorted(schema.managers.items()):
        yield f"process manager {name}, version {manager.version}"


def _of_type(name: str, one: StoredType) -> Iterator[str]:
    about = [f"{one.kind} {name}"]
    if one.version > 1:
        about.append(f"version {one.version}")
    if one.stream is not None:
        about.append(f"stream {one.stream}")
    elif one.state is not None:
        about.append(f"of {one.state}")
    if one.tags:
        about.append(f"tags {' '.join(one.tags)}")
    if one.bases:
        about.append(f"a {' and a '.join(one.bases)}")
    yield ", ".join(about)
    if one.members:
        yield f"  {', '.join(one.members)}"
    for field_name, field in one.fields.items():
        yield f"  {field_name}: {field.type}{' = ...' if field.default else ''}"
