"""Which process each named client is in, over Redis."""
