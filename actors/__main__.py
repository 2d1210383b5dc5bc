"""`python -m actors demo|rebuild|repl|verify ...`; `--help` after one of them tells its own options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

PROGRAMS = {
    "demo": ("actors.demo.run", "replay a shopping history and check every replica"),
    "rebuild": ("actors.cli.rebuild", "fill a read model anew, and watch how far it is"),
    "verify": ("actors.cli.verify", "look for damage in the files of a store that is closed"),
    "repl": ("actors.repl", "give a domain's commands and ask its queries by hand"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Hand the arguments to the named program's `main` and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m actors", description="Programs that come with the library."
    )
    programs = parser.add_subparsers(dest="program", required=True, metavar="|".join(PROGRAMS))
    for name, (_, text) in PROGRAMS.items():
        programs.add_parser(name, add_help=False, help=text)
    chosen, rest = parser.parse_known_args(arguments)
    # Imported only when asked for: each needs things that the other does without.
    try:
        code: int = import_module(PROGRAMS[chosen.program][0]).main(rest)
    except KeyboardInterrupt:
        # Before the program was ready to end in order, or after that.
        print("interrupted", file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
