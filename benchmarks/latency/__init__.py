"""Latencies under a given load, counted from when each operation was due:
`python -m benchmarks.latency --help`.
"""
