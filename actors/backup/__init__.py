"""Backups of stores: what of a backup a restored store takes over, and that it does not act on the world."""
