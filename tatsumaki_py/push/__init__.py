"""Streams: what goes over the wire (`transports`, `framing`) and how it gets there (`stream`)."""
