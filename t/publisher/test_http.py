"""Publishing to the URL of a PublishHandler."""

import asyncio
import socket
import time

import pytest

from tatsumaki_py import Error
from tatsumaki_py.publisher import Publisher


def refused(publisher, *arguments, **options):
    """The status and text of the error that publishing raises."""
    with pytest.raises(Error.HTTP) as caught:
        publisher.publish(*arguments, **options)
    return caught.value.code, str(caught.value)


def test_publishes(server, events):
    """All values are published in order, a list as one event, and their ids are returned."""
    values = [{"text": "Grüße \u2028"}, [1, []], "text", 0, None]
    with Publisher(f"{server.url}publish/{{channel}}") as publisher:
        ids = publisher.publish("a b/ü?", *values)
        assert len(set(ids)) == 5
        assert publisher.publish("a b/ü?", [2]) > ids[-1:]
        assert publisher.publish("a b/ü?") == []
    assert events("a%20b/%C3%BC%3F") == [*values, [2]]


def test_a_url_of_one_channel(server, events):
    """A URL without a placeholder works for its channel, and raises an error for another one."""
    publisher = Publisher(f"{server.url}publish/one")
    publisher.publish("one", 1)
    with pytest.raises(ValueError, match=r"does not name the channel 'two': write {channel}"):
        publisher.publish("two", 2)
    assert (events("one"), events("two")) == ([1], [])


def test_the_end(server, events):
    """`end` ends a channel if the handler allows it, and returns the id of the end."""
    publisher = Publisher(f"{server.url}ending/{{channel}}")
    (first,) = publisher.publish("over", 1)
    (end,) = publisher.end("over", idempotency_key="once")
    assert asyncio.run(publisher.aend("over", idempotency_key="once")) == [end] > [first]
    assert events("over") == [1, {"type": "end"}]
    with pytest.raises(ValueError, match=r"end\(\)"):
        publisher.publish("over", {"type": "end"})
    with pytest.raises(Error.HTTP, match="channels cannot be ended here"):
        Publisher(f"{server.url}publish/{{channel}}").end("over")


def test_a_lost_answer(server, events):
    """If an answer is lost, the request is repeated, and the events are published once."""
    ids = Publisher(f"{server.url}lossy/{{channel}}").publish("lost", 1, 2)
    assert (len(ids), events("lost")) == (2, [1, 2])


def test_retry_after(server, events):
    """A publisher waits as Retry-After says; if that is too long, it fails immediately."""
    publisher = Publisher(f"{server.url}busy/{{channel}}", publish_timeout=2)
    begin = time.monotonic()
    publisher.publish("busy-1", 1)
    assert 1 <= time.monotonic() - begin < 5
    publisher.publish("busy-0", 1)
    assert events("busy-1") == events("busy-0") == [1]
    begin = time.monotonic()
    text = "the events were not known to be accepted within 2 s: 503 busy"
    assert refused(publisher, "busy-60", 1) == (503, text)
    assert time.monotonic() - begin < 1.9


def test_no_answer(server):
    """Without an answer, the error says whether the events may have been accepted."""
    publisher = Publisher(f"{server.url}silent/{{channel}}", publish_timeout=0.2)
    text = "the events were not known to be accepted within 0.2 s: no answer in time"
    assert refused(publisher, "a", 1) == (503, text)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    publisher = Publisher(f"http://127.0.0.1:{port}/{{channel}}", publish_timeout=0.2)
    text = "the events were not accepted within 0.2 s: Connection refused"
    assert refused(publisher, "a", 1) == (503, text)


def test_refusals(server):
    """A refusal raises an error with the server's status; an answer from another handler, a 502."""
    publisher = Publisher(f"{server.url}private/{{channel}}")
    assert refused(publisher, "a", 1) == (403, "Forbidden")
    publisher = Publisher(f"{server.url}nothing/{{channel}}")
    assert refused(publisher, "a", 1) == (404, "Not Found")
    publisher = Publisher(f"{server.url}page/{{channel}}")
    text = "the answer does not come from a PublishHandler: check the URL"
    assert refused(publisher, "a", 1) == (502, text)
    publisher = Publisher(f"{server.url}publish/{{channel}}")
    publisher.publish("a", 1, idempotency_key="key")
    text = "something else was published under this idempotency key"
    assert refused(publisher, "a", 2, idempotency_key="key") == (422, text)
    big = ["x" * 1_000_000] * 3
    assert refused(publisher, "a", *big) == (413, "more than 2097152 bytes in one request")


def test_idempotency_key(server, events):
    """A second publisher that uses the same idempotency key gets the same ids."""
    url = f"{server.url}publish/{{channel}}"
    ids = [Publisher(url).publish("keys", 1, idempotency_key="key")[0] for _ in range(2)]
    assert (ids[0], events("keys")) == (ids[1], [1])
    with pytest.raises(ValueError, match="printable ASCII"):
        Publisher(url).publish("keys", 1, idempotency_key="ü")


def test_credentials(server, events):
    """Credentials can be given in a header or in the URL."""
    url = f"{server.url}private/{{channel}}"
    Publisher(url, headers={"Authorization": "Bearer t"}).publish("private", 1)
    Publisher(url.replace("//", "//u:p%C3%A4@")).publish("private", 2)
    assert events("private") == [1, 2]


def test_a_server_that_restarts(serve_program):
    """A publisher replaces its connection after the server has been restarted."""
    program = serve_program("t/publisher/program.py")
    with Publisher(f"{program.url}publish/{{channel}}") as publisher:
        publisher.publish("a", 1)
        program.restart()
        publisher.publish("a", 2)


def test_key(server):
    """Events can be published with a `key`; one that is too long or not ASCII is refused."""
    publisher = Publisher(f"{server.url}publish/{{channel}}")
    for n in range(3):
        publisher.publish("keyed", n, key="a")
    publisher.publish_json("keyed", b"3", key="b")
    key, text = "x" * 256, "a key must have 1 to 255 characters"
    with pytest.raises(Error.HTTP, match=text):
        publisher.publish("keyed", 1, key=key)
    with pytest.raises(ValueError, match="a key must be printable ASCII"):
        publisher.publish("keyed", 1, key="ü")
