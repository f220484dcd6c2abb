"""The engine that keeps all events in a file of SQLite, for one process that may be killed."""
