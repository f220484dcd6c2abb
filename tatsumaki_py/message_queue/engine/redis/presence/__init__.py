"""Which process each named client is in, for processes that share Redis."""
