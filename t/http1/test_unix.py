"""A server on a Unix socket."""

import asyncio

import pytest
from tornado.netutil import bind_unix_socket
from tornado.web import Application, RequestHandler


class Who(RequestHandler):
    def get(self):
        self.write(f"{self.request.remote_ip} {self.request.protocol}")


@pytest.fixture
def path(tmp_path, http_server_class, io_loop):
    server = http_server_class(Application([("/", Who)]), xheaders=True)
    server.add_socket(bind_unix_socket(str(tmp_path / "socket")))
    yield tmp_path / "socket"
    server.stop()
    io_loop.run_sync(server.close_all_connections)


@pytest.mark.gen_test
async def test_address(path):
    """The clients have the address 0.0.0.0, unless a proxy sends another one."""
    reader, writer = await asyncio.open_unix_connection(path)
    for field, who in [("X: y", "0.0.0.0 http"), ("X-Real-IP: 1.2.3.4", "1.2.3.4 http")]:
        writer.write(f"GET / HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        assert await reader.readexactly(len(who)) == who.encode()
    writer.write(b"garbage\r\n\r\n")
    assert await reader.read() == b"HTTP/1.1 400 Bad Request\r\n\r\n"
    writer.close()
