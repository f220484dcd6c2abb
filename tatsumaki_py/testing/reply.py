"""HTTP answers, read from a `Connection`."""

from __future__ import annotations

from dataclasses import dataclass

from tatsumaki_py.testing.connection import Connection

__all__ = ["Reply", "read_body", "read_chunk", "read_head", "read_reply"]


@dataclass
class Reply:
    """One HTTP answer."""

    line: str
    """The status line, such as ``"HTTP/1.1 200 OK"``."""
    headers: dict[str, str]
    """The headers by lower-case name; values of a repeated name are joined by ``", "``."""
    body: bytes = b""
    """The part of the body that was read."""

    @property
    def status(self) -> int:
        """The status code."""
        return int(self.line.split(" ")[1])


async def read_head(client: Connection) -> Reply:
    """The head of an answer, as a `Reply` without a body."""
    head = (await client.read_until(b"\r\n\r\n")).decode("latin-1")
    line, *fields = head[:-4].split("\r\n")
    headers: dict[str, str] = {}
    for field in fields:
        name, _, value = field.partition(":")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Reply(line, headers)


async def read_reply(client: Connection, method: str = "GET") -> Reply:
    """The whole answer to a request with this method. An answer without a length ends when the
    server closes the connection.
    """
    reply = await read_head(client)
    if method != "HEAD":
        reply.body = await read_body(client, reply)
    return reply


async def read_body(client: Connection, head: Reply) -> bytes:
    """The body that follows `head`."""
    if head.status in (204, 304):
        return b""
    if head.headers.get("transfer-encoding") == "chunked":
        body = b""
        while chunk := await read_chunk(client):
            body += chunk
        return body
    if "content-length" in head.headers:
        return await client.read_exactly(int(head.headers["content-length"]))
    return await client.read_all()


async def read_chunk(client: Connection) -> bytes:
    """One chunk (RFC 9112 7.1); the last one is b""."""
    line = await client.read_until(b"\r\n")
    try:
        size = int(line[:-2], 16)
        data = await client.read_exactly(size + 2)
    except BaseException:
        # After a timeout, the next call reads this chunk.
        client.unread(line)
        raise
    if not data.endswith(b"\r\n"):
        raise AssertionError(f"a chunk of {size} bytes does not end with CR LF: {data[-20:]!r}")
    return data[:-2]
