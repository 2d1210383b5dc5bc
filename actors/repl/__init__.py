"""The shell: every command and query of a domain by name, and meta commands about the system itself.

`onewriter repl` runs it; `program` has its main. At a terminal it needs the extra `repl`, with piped input
nothing.
"""
