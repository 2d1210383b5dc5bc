"""The programs of `python -m actors` beside the session, and what all of them share."""
