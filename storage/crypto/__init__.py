"""The keys of personal fields: a key store apart from the log, wrapped by a master key."""
