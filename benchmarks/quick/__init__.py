"""The key figures within two minutes, compared with an earlier run: `python -m benchmarks.quick --help`."""
