"""The event log, its indexes, and the tables that change with it."""
