"""Archives: events that were moved out of a log, in files that are never changed."""
