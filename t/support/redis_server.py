"""A real Redis for tests: one that all tests share, and others that a test may stop."""

import glob

import pytest
from support.outside import find_program
from support.program import free_port

from tatsumaki_py import testing


class RedisServer(testing.RedisServer):
    """A `tatsumaki_py.testing.RedisServer` on a port of the tests.

    Args:
        folder: the folder for the server's files.
        port: the port of the server; by default, any free port.
        own_clock: whether `shift_clock` can set the server's clock.
        options: lines of the server's configuration; "_" in a name stands for "-".
    """

    def __init__(self, folder, port=None, own_clock=False, **options):
        super().__init__(folder, port or free_port(), **options)
        if own_clock:
            self.environment |= {
                "LD_PRELOAD": _faketime(),
                "FAKETIME_TIMESTAMP_FILE": str(self.folder / "clock"),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
            self.shift_clock(0)

    @classmethod
    def find(cls):
        """The path of the program. Without it, the test is skipped, or fails where CI is set."""
        return find_program(cls.program, cls.package)

    def calls(self):
        """The number of calls of each command so far, from `INFO commandstats`."""
        lines = self.ask("INFO", "commandstats").splitlines()
        stats = [line.partition(":") for line in lines if line.startswith("cmdstat_")]
        return {
            name.removeprefix("cmdstat_"): int(rest.partition("calls=")[2].partition(",")[0])
            for name, _, rest in stats
        }

    def shift_clock(self, seconds):
        """Sets the server's clock ahead of the real one, or behind it if `seconds` is negative."""
        whole = self.folder / "clock.new"
        whole.write_text(f"{seconds:+d}\n")
        whole.replace(self.folder / "clock")


def _faketime():
    """The libraries to preload so that the time of a program can be changed."""
    find_program("faketime", "faketime")
    # With the malloc of libc: the one of Redis asks for the time before the library is ready.
    return glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")[0] + ":libc.so.6"


@pytest.fixture(scope="session")
def _shared_redis(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture
def redis_server(_shared_redis):
    """An empty Redis that a test must not stop."""
    _shared_redis.ask("FLUSHALL")
    _shared_redis.ask("CONFIG", "RESETSTAT")
    return _shared_redis


@pytest.fixture
def make_redis(tmp_path):
    """`server = make_redis(appendonly="yes")` starts a Redis that the test may kill or pause."""
    servers = []

    def make(**options):
        server = RedisServer(tmp_path, **options)
        servers.append(server)
        return server.start()

    yield make
    for server in servers:
        server.kill()
