"""Replicas and their query actors in child processes: what `System.open(..., workers="process")` starts."""
