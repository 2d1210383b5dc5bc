"""Backups: a log as files of segments, each verified as it is written, and stores made of them."""
