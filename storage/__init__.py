"""Storage for one writer and many readers: the event log, the message codec and the tables of the replicas.

Usable alone: nothing in here knows of actors. Each module says which thread may use it.
"""
