"""What runs in a worker process: one replica, and its query actors."""
