"""All tests of this folder run on `FastServer`."""

import ssl

import pytest
from tornado.testing import AsyncHTTPSTestCase

from tatsumaki_py.server.fast_server import FastServer


@pytest.fixture
def http_server_class():
    return FastServer


@pytest.fixture
def connect(http_server, http_port, raw):
    """`client = await connect(b"...")` connects and sends these bytes."""

    async def connect(*parts):
        client = await raw(http_port)
        for part in parts:
            await client.send(part)
        return client

    return connect


@pytest.fixture
def certificate():
    """The paths of a certificate and its key, in the form of `ssl_options`."""
    return AsyncHTTPSTestCase.default_ssl_options()


@pytest.fixture
def trusting():
    """The TLS context of a client that accepts any certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
