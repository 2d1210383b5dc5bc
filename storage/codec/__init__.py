"""Values to bytes and back: messages, keys, page tokens. Pure."""
