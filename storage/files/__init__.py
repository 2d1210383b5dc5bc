"""Stores as files: directories, locks, LMDB environments, and what is wrong with them."""
