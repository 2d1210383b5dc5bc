"""What runs in the process that opened the system: it starts the worker processes, and sends to them."""
