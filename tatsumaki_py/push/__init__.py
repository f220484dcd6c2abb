"""Streams: the bytes on the wire (`transports`, `framing`), and how they are sent (`stream`)."""
