"""The engines that keep a read model's data beside the LMDB tables: SQLite databases, and objects in memory."""
