"""A real Redis of the tests: one for all tests of a process, and others that a test may stop."""

import glob

import pytest
from support.outside import find_program
from support.program import free_port

from tatsumaki_py import testing


class RedisServer(testing.RedisServer):
    """A `tatsumaki_py.testing.RedisServer` on a port of the tests.

    Args:
        folder: for its files.
        port: where it listens; any free one by default.
        own_clock: whether `shift_clock` can set its clock.
        options: lines of its configuration; "_" in a name stands for "-".
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
        """Where CI is set, a program that is missing fails the test."""
        return find_program(cls.program, cls.package)

    def calls(self):
        """The number of calls of each command so far, by `INFO commandstats`."""
        lines = self.ask("INFO", "commandstats").splitlines()
        stats = [line.partition(":") for line in lines if line.startswith("cmdstat_")]
        return {
            name.removeprefix("cmdstat_"): int(rest.partition("calls=")[2].partition(",")[0])
            for name, _, rest in stats
        }

    def shift_clock(self, seconds):
        """Its clock is so much ahead of the real one, or behind."""
        whole = self.folder / "clock.new"
        whole.write_text(f"{seconds:+d}\n")
        whole.replace(self.folder / "clock")


def _faketime():
    """What to preload to change the time of a program."""
    find_program("faketime", "faketime")
    # With the malloc of libc: that of Redis asks for the time before the library can tell it.
    return glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")[0] + ":libc.so.6"


@pytest.fixture(scope="session")
def _shared_redis(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture
def redis_server(_shared_redis):
    """An empty Redis that a test does not stop."""
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
