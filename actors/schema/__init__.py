"""The schema of a store: what its classes looked like when written, and whether code can read it."""
