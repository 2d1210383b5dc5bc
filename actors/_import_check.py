"""Imported before everything else: is the `storage` that Python finds the one that belongs to this package?

`storage` and `actors` are names that others use, too. A package or folder of that name which comes first on
`sys.path` would otherwise end in an error about some name that it does not have.
"""

from __future__ import annotations

from pathlib import Path

import storage

__all__ = ["OURS"]

OURS = Path(__file__).resolve().parents[1] / "storage"
"""Where ours is."""

if not hasattr(storage, "OnewriterError"):
    _found = getattr(storage, "__file__", None) or ", ".join(getattr(storage, "__path__", ["?"]))
    raise ImportError(
        f"onewriter's package actors needs its own package storage, which is {OURS}, and Python found "
        "another one: "
        f"{_found}. Rename that one, or have its folder come after {OURS.parent} on sys.path (a "
        "script's own folder, or the "
        "current one under python -m, comes first there; see docs/operations.md)",
        name="storage",
        path=str(_found),
    )
