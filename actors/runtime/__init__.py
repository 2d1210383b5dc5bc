"""A running system: its parts put together, looked after, and taken apart in order."""
