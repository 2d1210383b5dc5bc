"""Builds of read models as Python objects."""
