"""`python -m actors demo ...` and `python -m actors repl ...`; each has its own options, see `--help` of each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Hand the arguments to the named program and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m actors", description="Programs that come with the library."
    )
    programs = parser.add_subparsers(dest="program", required=True, metavar="{demo,repl}")
    programs.add_parser("demo", add_help=False, help="replay a shopping history and check every replica")
    programs.add_parser("repl", add_help=False, help="commands and queries of a domain, by hand")
    chosen, rest = parser.parse_known_args(arguments)
    # Imported only when asked for: each needs things that the other does not.
    if chosen.program == "demo":
        from actors.demo.run import main as run
    else:
        from actors.repl import main as run
    return run(rest)


if __name__ == "__main__":
    sys.exit(main())
