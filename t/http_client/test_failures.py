"""A request that fails results in a response, not in an exception."""

import asyncio

import pytest

OK = "HTTP/1.1 200 OK\r\n"


def assert_failed(res, status_line):
    assert res.status_line == status_line
    assert (res.is_error, res.is_success, res.content, dict(res.headers)) == (True, False, b"", {})


@pytest.mark.gen_test
async def test_refused(client):
    """A refused connection results in a 595."""
    assert_failed(await client.get("http://127.0.0.1:1/"), "595 Connection refused")


@pytest.mark.gen_test
async def test_unknown_host(client):
    """An unknown host name results in a 595."""
    res = await client.get("http://nobody.invalid/")
    assert (res.code, res.is_error) == (595, True)


async def asked(peer):
    while not peer.requests:
        await asyncio.sleep(0.001)


@pytest.mark.gen_test
async def test_time_out(client, peer, clock):
    """A peer that sends no answer results in a 596 after 30 s, and the connection is closed."""
    silent = await peer(None)
    future = client.get(silent.url)
    await asked(silent)
    await clock.advance(29)
    assert not future.done()
    await clock.advance(2)
    assert_failed(await future, "596 Connection timed out")
    await silent.left.wait()


@pytest.mark.gen_test
async def test_time_limit_of_one_request(client, peer, clock):
    """A request can have its own timeout."""
    silent = await peer(None)
    future = client.get(silent.url, timeout=100)
    await asked(silent)
    await clock.advance(99)
    assert not future.done()
    await clock.advance(2)
    assert (await future).code == 596


@pytest.mark.gen_test
async def test_time_limit_spans_redirects(client, answer, peer, clock):
    """The time limit includes redirects: the second request has only the rest of the time."""
    silent = await peer(None)
    location = asyncio.get_running_loop().create_future()
    hop = await peer(location)
    future = client.get(hop.url)
    await asked(hop)
    await clock.advance(20)
    location.set_result(answer("", f"Location: {silent.url}", status="302 Found"))
    await asked(silent)
    await clock.advance(11)
    assert_failed(await future, "596 Connection timed out")


@pytest.mark.gen_test
async def test_time_limit_is_for_the_whole_answer(client, peer, clock):
    """A partial answer does not extend the time limit (in the original, it does)."""
    dripping = await peer(f"{OK}Content-Length: 9\r\n\r\nabc".encode(), close=False)
    future = client.get(dripping.url)
    await asked(dripping)
    await asyncio.sleep(0.05)
    await clock.advance(31)
    assert_failed(await future, "596 Connection timed out")
    await dripping.left.wait()


@pytest.mark.parametrize(
    "url",
    ["ftp://127.0.0.1/", "file:///etc/hostname", "javascript:alert(1)", "127.0.0.1:80/", "/x", ""],
)
@pytest.mark.gen_test
async def test_scheme(client, url):
    """A URL whose scheme is not http or https results in a 599."""
    assert_failed(await client.get(url), "599 Only http and https URL schemes supported")


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http:///x",
        "http://[::1/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:x/",
        "http://127.0.0.1/ HTTP/1.1\r\nX-Evil: 1\r\n",
        "http://127.0.0.1/\r\n",
        "http://127.0.0.1/\x00",
        " http://127.0.0.1/",
        "http://exämple.invalid/",
    ],
)
@pytest.mark.gen_test
async def test_bad_url(client, url):
    """An invalid URL, such as one with header lines in it, results in a 599."""
    res = await client.get(url)
    assert (res.code, res.message[:8]) == (599, "Bad URL:")


@pytest.mark.gen_test
async def test_label_too_long(client):
    """A host name with a label that is too long results in a 599."""
    assert (await client.get(f"http://{'a' * 70}.invalid/")).code == 599


@pytest.mark.parametrize("part", ["", "garbage\r\n\r\n", "HTTP/9.1 200 OK\r\n\r\n", f"{OK}X"])
@pytest.mark.gen_test
async def test_no_answer(client, peer, part):
    """A connection that is closed before a valid answer results in a 596."""
    broken = await peer(part.encode())
    assert (await client.get(broken.url)).code == 596


@pytest.mark.gen_test
async def test_huge_headers(client, peer):
    """An answer with more than 64 KiB of headers results in a 599."""
    huge = await peer(f"{OK}X: {'x' * 70_000}\r\n\r\n".encode())
    assert_failed(await client.get(huge.url), "599 Invalid server response")


@pytest.mark.parametrize(
    "rest",
    ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\nab"],
)
@pytest.mark.gen_test
async def test_half_an_answer(client, peer, rest):
    """A connection that is closed in the middle of the body results in a 597, without content."""
    short = await peer(f"{OK}{rest}".encode())
    assert_failed(await client.get(short.url), "597 Connection closed")


@pytest.mark.gen_test
async def test_not_tls(client, expect_log):
    """An https request to a peer without TLS results in a 596 with the reason."""

    async def talk(reader, writer):
        writer.write(b"220 mail.example ready\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    with expect_log("tornado.general", "SSL Error"):
        res = await client.get(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    server.close()
    assert (res.code, "SSL" in res.message) == (596, True)


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oh dear", "599 Mine"])
@pytest.mark.gen_test
async def test_errors_of_the_other_side(client, answer, peer, status):
    """The response to a 4xx or 5xx has the status, reason and content that the peer sent."""
    there = await peer(answer("sorry", status=status))
    res = await client.get(there.url)
    assert (res.status_line, res.content, res.is_error) == (status, b"sorry", True)
