"""Reads and writes mixed as YCSB mixes them, beside hand-written peers:
`python -m benchmarks.mixes --help`.
"""
