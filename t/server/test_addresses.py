"""The addresses that a server listens on, and the errors for bad addresses."""

import errno
import os
import socket

import pytest
from support.program import free_port

from tatsumaki_py import Server
from tatsumaki_py.server import addresses as module
from tatsumaki_py.server.addresses import Addresses, ListenError
from tatsumaki_py.server.bind import bind_tcp


def has_ipv6():
    with socket.socket(socket.AF_INET6) as sock:
        return sock.connect_ex(("::1", 9)) == errno.ECONNREFUSED


HAS_IPV6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Unsets the variables that the machine of the tests may have."""
    for name in ("TATSUMAKI_HOST", "TATSUMAKI_PORT", "PORT"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def bound():
    """Binds addresses, and closes them after the test."""
    made = []

    def bind(*args, **kwargs):
        made.append(Addresses(*args, **kwargs))
        made[-1].bind()
        return made[-1]

    yield bind
    for addresses in made:
        addresses.close()


def connects(host, port):
    try:
        socket.create_connection((host, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def refusal(*args, **kwargs):
    """The line that says why a server cannot listen on an address."""
    with pytest.raises(ListenError) as caught:
        Addresses(*args, **kwargs).bind()
    return str(caught.value)


@pytest.mark.parametrize(
    ("variables", "port"),
    [
        ({}, 5000),
        ({"PORT": "1"}, 1),
        ({"PORT": "1", "TATSUMAKI_PORT": "2"}, 2),
        ({"PORT": "1", "TATSUMAKI_PORT": ""}, 1),
        ({"HOST": "x86_64-conda-linux-gnu"}, 5000),
    ],
)
def test_environment(environment, variables, port):
    """The argument wins over TATSUMAKI_PORT, which wins over PORT. HOST is not read."""
    for name, value in variables.items():
        environment.setenv(name, value)
    assert Server().port == port
    assert Server(port=3).port == 3
    assert Addresses()._settings["host"].value == ["127.0.0.1"]


@HAS_IPV6
def test_several(bound):
    """All hosts have the same port, even port 0. No client can connect before `listen`."""
    addresses = bound(["127.0.0.1", "::1"], 0)
    port = addresses.port
    assert not connects("127.0.0.1", port)
    assert {sock.getsockname()[:2] for sock in addresses.listen()} == {
        ("127.0.0.1", port),
        ("::1", port),
    }
    assert connects("127.0.0.1", port)
    assert connects("::1", port)
    assert addresses.urls("https") == [f"https://127.0.0.1:{port}/", f"https://[::1]:{port}/"]


@HAS_IPV6
def test_a_name_of_two_addresses(bound, environment):
    """A host name with two addresses makes two sockets and one URL."""
    found = [(socket.AF_INET6, 1, 6, "", ("::1", 0, 0, 0))]
    found.append((socket.AF_INET, 1, 6, "", ("127.0.0.1", 0)))
    environment.setattr(socket, "getaddrinfo", lambda *args: found)
    addresses = bound("localhost", 0)
    assert [sock.family for sock in addresses.listen()] == [socket.AF_INET, socket.AF_INET6]
    assert addresses.urls("http") == [f"http://localhost:{addresses.port}/"]


def test_twice_the_same(bound):
    """Several names of one address share a socket."""
    addresses = bound(["127.0.0.1", "localhost", "127.0.0.1"], 0)
    names = [sock.getsockname()[0] for sock in addresses.listen()]
    assert sorted(names) == sorted(set(names))
    assert len(addresses.urls("http")) == 3


@HAS_IPV6
@pytest.mark.parametrize(
    ("hosts", "made"),
    [
        (["127.0.0.1", "0.0.0.0"], ["0.0.0.0"]),
        (["::", "::1"], ["::"]),
        (["::1", "127.0.0.1", "0.0.0.0"], ["0.0.0.0", "::1"]),
    ],
)
def test_one_stands_for_others(bound, hosts, made):
    """An address that 0.0.0.0 or :: covers gets no separate socket, in whatever order they are
    given.
    """
    addresses = bound(hosts, 0)
    assert [sock.getsockname()[0] for sock in addresses.listen()] == made
    assert len(addresses.urls("http")) == len(hosts)
    assert connects(made[-1], addresses.port)


@HAS_IPV6
def test_all_addresses(bound):
    """`::` accepts no IPv4 connections, so it can be used together with 0.0.0.0."""
    addresses = bound("::", 0)
    addresses.listen()
    assert connects("::1", addresses.port)
    assert not connects("127.0.0.1", addresses.port)
    both = bound(["0.0.0.0", "::"], 0)
    both.listen()
    assert connects("::1", both.port)
    assert connects("127.0.0.1", both.port)


def test_reuse_port(bound):
    """Two servers share a port only if both set `reuse_port`."""
    first = bound("127.0.0.1", 0, reuse_port=True)
    second = bound("127.0.0.1", first.port, reuse_port=True)
    first.listen()
    second.listen()
    first.close()
    assert connects("127.0.0.1", second.port)
    assert "Address already in use" in refusal("127.0.0.1", second.port)


def test_taken_while_it_starts(bound):
    """If another program starts to listen on the port after `bind`, `listen` fails."""
    first = bound("127.0.0.1", 0)
    second = bound("127.0.0.1", first.port)
    first.listen()
    with pytest.raises(ListenError, match="Address already in use"):
        second.listen()


@pytest.mark.parametrize(
    ("options", "variables", "source"),
    [
        ({}, {}, "host by default, port by default"),
        ({"port": 5000}, {}, "host by default, port from the argument port="),
        ({}, {"PORT": "5000"}, "host by default, port from PORT in the environment"),
        (
            {"host": "127.0.0.1"},
            {"TATSUMAKI_PORT": "5000"},
            "host from the argument host=, port from TATSUMAKI_PORT in the environment",
        ),
    ],
)
def test_names_the_source(environment, options, variables, source):
    """The error names the source of host and port and, on macOS, AirPlay, which also uses port
    5000.
    """
    for name, value in variables.items():
        environment.setenv(name, value)

    def taken(*args, **kwargs):
        raise OSError(errno.EADDRINUSE, "Address already in use")

    environment.setattr(module, "bind_tcp", taken)
    environment.setattr("sys.platform", "linux")
    line = refusal(**options)
    assert line == (
        f"Cannot listen on 127.0.0.1:5000: Address already in use ({source}). Stop the program "
        "that uses port 5000, or choose another port with the argument port= or TATSUMAKI_PORT."
    )
    environment.setattr("sys.platform", "darwin")
    assert refusal(**options) == line + (
        " On macOS it may be AirPlay Receiver: "
        "System Settings > General > AirDrop & Handoff turns that off."
    )
    assert "AirPlay" not in refusal("127.0.0.1", 5001)


def test_not_here():
    """The errors for an address of another machine and for an unknown host name differ."""
    port = free_port()
    sources = "host from the argument host=, port from the argument port="
    assert refusal("192.0.2.1", port) == (
        f"Cannot listen on 192.0.2.1:{port}: this machine does not have that address ({sources})"
    )
    line = refusal("x86_64-conda-linux-gnu.invalid", port)
    assert ": neither an address nor the name of one: " in line
    assert line.endswith(f" ({sources})")


@pytest.mark.parametrize(
    ("host", "port", "number", "reason"),
    [
        (
            "127.0.0.1",
            80,
            errno.EACCES,
            "Permission denied; most users cannot use ports below 1024",
        ),
        ("127.0.0.1", 1024, errno.EACCES, "Permission denied"),
        (
            "fe80::1",
            80,
            errno.EINVAL,
            "a link-local address needs its interface, such as fe80::1%eth0",
        ),
        ("127.0.0.1", 80, errno.EINVAL, "Invalid argument"),
    ],
)
def test_more_than_the_system_says(environment, host, port, number, reason):
    """The error explains more than the system's message does."""

    def fails(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    environment.setattr(module, "bind_tcp", fails)
    assert f":{port}: {reason} (host from" in refusal(host, port)


def test_an_error_leaves_nothing_open(bound):
    """A failed `bind` closes its sockets, even if one of the addresses can be used. (An open socket
    would cause a warning.)
    """
    port = free_port()
    refusal(["127.0.0.1", "192.0.2.1"], port)
    bound("127.0.0.1", port).listen()
    assert connects("127.0.0.1", port)


@pytest.mark.parametrize("port", ["abc", -1, 65536, 1.5])
def test_bad_port(port):
    """`Server(port=...)` raises an error for a bad port immediately."""
    with pytest.raises(ValueError, match=r"^port= takes a number from 0 to 65535, not "):
        Server(port=port)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": 127}, r"host= takes a name or an address, or several, not 127"),
        ({"host": b"::1"}, r"host= takes a name or an address, or several, not b'::1'"),
        ({"host": [None]}, r"host= takes a name or an address, or several, not \[None\]"),
        ({"mode": "660"}, r"mode= takes permissions, such as 0o660, not '660'"),
        ({"mode": None}, r"mode= takes permissions, such as 0o660, not None"),
        ({"unix": ""}, r"unix= takes the path of a file, not ''"),
        ({"unix": "\0chat"}, r"unix= takes the path of a file, not '\\x00chat'"),
        ({"mode": 0o1000}, r"mode= takes permissions, such as 0o660, not 512"),
        ({"unix": "x", "reuse_port": True}, r"reuse_port= cannot be combined with unix="),
    ],
)
def test_bad_options(options, message):
    """`Server` raises an error for bad values of the other options."""
    with pytest.raises(ValueError, match=message):
        Server(**options)


def test_a_system_without_it(monkeypatch, tmp_path):
    """On a system without SO_REUSEPORT or Unix sockets, such as Windows, the error says so."""
    monkeypatch.delattr(socket, "SO_REUSEPORT")
    assert refusal("127.0.0.1", 1, reuse_port=True).startswith(
        "Cannot listen on 127.0.0.1:1: this system has no SO_REUSEPORT ("
    )
    monkeypatch.delattr(socket, "AF_UNIX")
    assert refusal(unix=tmp_path / "s") == (
        f"Cannot listen on unix:{tmp_path}/s: this system has no Unix sockets "
        "(unix from the argument unix=)"
    )


def test_a_machine_without_ipv6(monkeypatch):
    """On a machine without IPv6, a server listens on the IPv4 address of a name that has both; an
    IPv6 address alone causes an error.
    """
    make = socket.socket

    def ipv4(family=socket.AF_INET, *args, **kwargs):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return make(family, *args, **kwargs)

    found = [
        (socket.AF_INET6, 1, 6, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, 1, 6, "", ("127.0.0.1", 0)),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", ipv4)
        patch.setattr(socket, "getaddrinfo", lambda *args: found)
        sockets = bind_tcp("localhost", 0)
        found.pop()
        with pytest.raises(OSError, match="family not supported"):
            bind_tcp("::1", 0)
    (sock,) = sockets
    assert sock.family == socket.AF_INET
    sock.close()
