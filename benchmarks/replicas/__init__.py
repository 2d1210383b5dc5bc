"""What three replicas cost beside one: `python -m benchmarks.replicas --help`."""
