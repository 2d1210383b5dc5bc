"""The read replicas: what Sync sends them, how they apply it, and how they rebuild their models."""
