"""Where the replicas of a store are. Any thread."""

from __future__ import annotations

__all__ = ["REPLICAS"]

REPLICAS = "replicas"
"""The folder of the replicas' environments, in the store's directory beside the log."""
