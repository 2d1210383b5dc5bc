"""Queries while a model is rebuilt, and without: `python -m benchmarks.rebuild --help`."""
