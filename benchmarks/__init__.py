"""Commands and queries a second, beside other ways to do the same: `python -m benchmarks --help`."""
