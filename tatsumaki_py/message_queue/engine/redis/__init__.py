"""The Redis engine: processes on several machines share the channels."""
