"""Options of the commands that work on archives. Main thread."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from actors.cli.errors import CommandLineError

__all__ = ["add_archives_path", "add_record", "checked_record"]


def add_record(parser: ArgumentParser) -> None:
    """Add `--who` and `--why`."""
    parser.add_argument("--who", default="", metavar="NAME", help="who does it; kept")
    parser.add_argument("--why", default="", metavar="TEXT", help="why; kept")


def checked_record(options: Namespace) -> None:
    """Raise `CommandLineError` unless both are given."""
    if not (options.who.strip() and options.why.strip()):
        raise CommandLineError("give --who and --why, which are kept")


def add_archives_path(parser: ArgumentParser) -> None:
    """Add `--archives-path`."""
    parser.add_argument(
        "--archives-path", metavar="FOLDER", help="where the archives are; archives in the store unless given"
    )
