"""Closing streams, and moving events from the log to archives."""
