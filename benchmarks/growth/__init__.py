"""Opening time, memory and files against the length of the log: `python -m benchmarks.growth --help`."""
