"""Process managers: events in, commands out, exactly once; timers, compensation, and effects through an outbox.

`declaring` is what a user writes, `deciding` runs it without thread or file, `book` and `notes` keep it in the write
store, `manager` and `outbox` are the actors around that.
"""
