"""The read replicas: what they are told, how they apply it, and how they build their models anew."""
