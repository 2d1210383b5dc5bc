"""The session by hand: every command and query of a domain by name, and commands about the system itself.

    python -m actors repl [PATH] [--domain module:attribute] [--replicas N]

At a terminal it needs the extra `repl`; with its input piped it needs nothing but the library.
"""

from __future__ import annotations

from actors.repl.program import add_arguments, main

__all__ = ["add_arguments", "main"]
