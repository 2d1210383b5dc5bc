"""How far replicas are behind the writer at a steady rate of commands: `python -m benchmarks.lag --help`."""
