"""The engine that keeps all events in an SQLite file, for one process that may be killed."""
