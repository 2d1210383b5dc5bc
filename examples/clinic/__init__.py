"""A clinic's appointments: a whole application in one small package. `python -m examples.clinic [STORE]` runs
it.

`base` declares the domain; `appointments` is its write side, `overview` its read side, `reminders` its
process manager, `desk` what people do with the running system. mypy and pyright check all of it as strictly
as they can.
"""
