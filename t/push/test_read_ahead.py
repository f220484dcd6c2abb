"""A client that closes just as its stream begins leaves nothing to the garbage collector."""

import gc
import socket

import pytest
from support.wire import iterations
from tornado.iostream import IOStream

from tatsumaki_py.push.connection import _read_ahead


@pytest.mark.parametrize("end", [socket.socket.close, lambda sock: sock.shutdown(socket.SHUT_WR)])
@pytest.mark.gen_test
async def test_no_cycle(end):
    """The end is found by reading."""
    ours, theirs = socket.socketpair()
    stream = IOStream(ours)
    end(theirs)
    await iterations()
    gc.collect()
    gc.disable()
    try:
        assert _read_ahead(stream) is None
        stream.close()
        del stream
        await iterations()
        assert gc.collect() == 0
    finally:
        gc.enable()
        theirs.close()
