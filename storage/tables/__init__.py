"""The tables of read models: schemas, rows, indexes, reading and writing."""
