"""The address of a client behind trusted proxies."""

import socket

import pytest
from tornado.httputil import HTTPHeaders

from tatsumaki_py.http1.client_address import ClientAddress


def address(trusted=()):
    return ClientAddress(socket.AF_INET, ("10.0.0.1", 1), "http", trusted)


@pytest.mark.parametrize(
    ("headers", "ip"),
    [
        ({"X-Real-IP": "1.2.3.4"}, "1.2.3.4"),
        ({"X-Real-IP": "1.2.3.4:5678"}, "1.2.3.4"),
        ({"X-Real-IP": "[::1]"}, "::1"),
        ({"X-Real-IP": "[::1]:5678"}, "::1"),
        ({"X-Real-IP": "::1"}, "::1"),
        ({"X-Real-IP": "example.com"}, "10.0.0.1"),
        ({"X-Real-IP": "example.com:80"}, "10.0.0.1"),
        ({"X-Real-IP": "[]"}, "10.0.0.1"),
        ({"X-Real-IP": ""}, "10.0.0.1"),
        ({"X-Forwarded-For": "5.5.5.5, 1.2.3.4:99"}, "1.2.3.4"),
        ({"X-Forwarded-For": "[2001:db8::1]:443"}, "2001:db8::1"),
        ({"X-Forwarded-For": "5.5.5.5", "X-Real-IP": "1.2.3.4"}, "1.2.3.4"),
        ({"X-Forwarded-For": "unknown"}, "10.0.0.1"),
    ],
)
def test_headers(headers, ip):
    client = address()
    client._apply_xheaders(HTTPHeaders(headers))
    assert client.remote_ip == ip
    client._unapply_xheaders()
    assert client.remote_ip == str(client) == "10.0.0.1"


def test_trusted_proxies():
    client = address({"9.9.9.9", "::9"})
    client._apply_xheaders(HTTPHeaders({"X-Forwarded-For": "1.2.3.4, [::9]:1, 9.9.9.9:80"}))
    assert client.remote_ip == "1.2.3.4"


def test_protocol():
    client = address()
    client._apply_xheaders(HTTPHeaders({"X-Forwarded-Proto": "http, https"}))
    assert client.protocol == "https"
    client._apply_xheaders(HTTPHeaders({"X-Scheme": "gopher"}))
    assert client.protocol == "https"
    client._unapply_xheaders()
    assert client.protocol == "http"


def test_no_address():
    """A client of a Unix socket has Tornado's address, 0.0.0.0."""
    client = ClientAddress(socket.AF_UNIX, "", "http", ())
    assert (client.remote_ip, client.protocol) == ("0.0.0.0", "http")
