"""Subscribers of `/events/room` that are nothing but a socket, by every transport."""

TRANSPORTS = ["sse", "ndjson", "multipart", "websocket", "long-poll"]
STREAMS = TRANSPORTS[:-1]
UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


async def request(client, transport, *headers, path="/events/room", version="HTTP/1.1", **query):
    """Asks for the events by `transport`."""
    if transport == "websocket":
        headers = (*UPGRADE, *headers)
    else:
        query = {"transport": transport, **query}
    query = "&".join(f"{name}={value}" for name, value in query.items())
    lines = [f"GET {path}?{query} {version}", "Host: localhost", *headers, "", ""]
    await client.send("\r\n".join(lines).encode())
