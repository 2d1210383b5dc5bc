"""The options of commands that need the keys of personal fields. Main thread."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from typing import Any

from actors.cli.errors import CommandLineError
from actors.runtime.personal_keys import KEYS_FOLDER, MASTER_KEY_VARIABLE

__all__ = ["add_keys", "key_folder", "key_settings", "required_master_key"]


def add_keys(parser: ArgumentParser) -> None:
    """Add `--master-key` and `--keys-path`."""
    parser.add_argument(
        "--master-key",
        metavar="FILE",
        help=f"the master key of personal fields; the file that {MASTER_KEY_VARIABLE} names unless given",
    )
    parser.add_argument(
        "--keys-path", metavar="FOLDER", help=f"the key store; {KEYS_FOLDER} in the store unless given"
    )


def key_settings(options: Namespace) -> dict[str, Any]:
    """What `System.open` is given."""
    return {"master_key": options.master_key, "keys_path": options.keys_path}


def key_folder(options: Namespace) -> str:
    """The key store of `options.store`."""
    return options.keys_path or os.path.join(options.store, KEYS_FOLDER)


def required_master_key(options: Namespace) -> str:
    """The file of the master key. Raises `CommandLineError` if none was given."""
    found = options.master_key or os.environ.get(MASTER_KEY_VARIABLE)
    if not found:
        raise CommandLineError(f"give --master-key FILE, or {MASTER_KEY_VARIABLE} in the environment")
    return str(found)
