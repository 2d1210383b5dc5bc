"""Builds of read models in SQLite databases."""
