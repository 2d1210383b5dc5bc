"""The engines that store a read model outside the LMDB tables: SQLite databases, and objects in memory."""
