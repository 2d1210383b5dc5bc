"""Many stores in one process: a folder of them behind one object, each open while it is needed."""
