"""The SQLite file that survives a crash: one writer, read-only readers, rounds, salvage."""
