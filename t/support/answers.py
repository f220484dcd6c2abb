"""Requests to the application under test, through Tornado's client and through bare sockets."""

import pytest

from tatsumaki_py.testing import until  # noqa: F401


@pytest.fixture
def fetch(http_server, http_client, base_url):
    """`answer = await fetch("/path", method="POST", body="a=1")` returns the answer.

    No status raises an exception. Any method may be used; redirects are not followed.
    """

    def fetch(path, **options):
        options = {"raise_error": False, "follow_redirects": False, **options}
        options.setdefault("allow_nonstandard_methods", True)
        return http_client.fetch(base_url + path, **options)

    return fetch


@pytest.fixture
def ask(http_server, http_port, raw):
    """`client = await ask("GET /path", "Name: value")` sends a request and returns a `Connection`.

    The test reads the answer. The request is HTTP/1.1 unless the line says otherwise.
    """

    async def ask(line, *headers, body=""):
        if "HTTP/" not in line:
            line += " HTTP/1.1"
        lengths = [f"Content-Length: {len(body)}"] if body else []
        lines = [line, "Host: localhost", *lengths, *headers, "", body]
        client = await raw(http_port)
        await client.send("\r\n".join(lines).encode("latin-1"))
        return client

    return ask


@pytest.fixture
def access_log(caplog):
    """A function that returns the records of the access log so far."""
    caplog.set_level("INFO", "tornado.access")
    return lambda: [record for record in caplog.records if record.name == "tornado.access"]
