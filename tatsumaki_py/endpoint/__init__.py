"""Handlers that are ready to route."""
