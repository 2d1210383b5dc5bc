"""Names that a command takes as arguments, or as the lines of a file. Main thread."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from actors.cli.errors import CommandLineError

__all__ = ["add_names", "given_names", "name_lines"]


def add_names(parser: ArgumentParser, what: str, text: str) -> None:
    """Have a command take any number of names as `what`, and `--from`; `text` says what a name is."""
    parser.add_argument("names", nargs="*", metavar=what.upper(), help=text)
    parser.add_argument("--from", dest="file", metavar="FILE", help=f"a text file with a {what} in each line")


def given_names(options: Namespace, what: str) -> list[str]:
    """The names. Raises `CommandLineError` if there are none, or the file can't be read."""
    names = [*options.names, *name_lines(options.file)]
    if not names:
        raise CommandLineError(f"give a {what}, or --from FILE")
    return names


def name_lines(file: str | None) -> list[str]:
    """The lines of a file, without those that are empty; none for None. Raises `CommandLineError`."""
    if file is None:
        return []
    try:
        with open(file, encoding="utf-8") as lines:
            return [line.rstrip("\r\n") for line in lines if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise CommandLineError(f"{file} can't be read: {error}") from error
