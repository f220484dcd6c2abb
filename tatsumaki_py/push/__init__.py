"""Streams: what goes over the wire (`framing`) and how it gets there (`stream`)."""
