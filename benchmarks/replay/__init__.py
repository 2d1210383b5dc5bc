"""Events a second through a projection into a table with one index: `python -m benchmarks.replay --help`."""
