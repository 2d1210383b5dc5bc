"""The write side: from a command in its caller's thread to its events on disk and its receipt."""
