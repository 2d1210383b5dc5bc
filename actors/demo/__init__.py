"""A shop run on the whole engine: `python -m actors demo` replays a shopping history and checks the replicas.

`shop` is the domain, `history` and `journey` are where commands come from, `run` is the demo itself.
"""
