"""Copying a store through a function: events change, and all that points to their positions follows."""
