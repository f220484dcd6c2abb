"""The engine in Redis: processes on several machines share the channels."""
