"""The engine that keeps all events in a SQLite file, for one process that may be killed."""
