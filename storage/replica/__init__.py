"""Replicas: builds of the read models in every engine, at one checkpoint."""
