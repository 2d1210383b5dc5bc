"""Process managers: events in, commands out, exactly once; timers, compensation, and effects by an outbox.

`decision` runs a user's handlers without a thread or file. `manager_state` is what a manager knows, read from
its `records`; `planner` plans what comes next, `input_handler`, `quarantine` and `rebuild` do it.
`manager_actor` and `outbox_actor` are the actors around that, and `registry` has all managers of a system.
"""
