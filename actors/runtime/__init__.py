"""A running system: its parts, its actors, its health; put together, maintained, and taken apart in order."""
