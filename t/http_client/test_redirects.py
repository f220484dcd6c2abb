"""Redirects: where they lead, and what is sent to the new URL."""

import pytest
from tornado.httpclient import HTTPRequest
from tornado.httputil import HTTPHeaders

from tatsumaki_py.http_client_request import redirected, split_url


@pytest.fixture
def redirect(answer):
    def make(location, code=302):
        return answer("", f"Location: {location}", status=f"{code} Moved")

    return make


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.gen_test
async def test_followed(client, answer, redirect, peer, code):
    """A redirect is followed; the response has the content and URL of the last request."""
    there = await peer(redirect("sub/next?q=1#part", code), answer("there"))
    res = await client.get(there.url)
    assert (res.content, res.url) == (b"there", f"{there.url}sub/next?q=1")
    assert there.requests[1].startswith(b"GET /sub/next?q=1 HTTP/1.1\r\n")


@pytest.mark.parametrize("code", [301, 302, 303])
@pytest.mark.gen_test
async def test_post_becomes_get(client, answer, redirect, peer, code):
    """After a 301, 302 or 303, a POST becomes a GET without a body (the original hangs)."""
    there = await peer(redirect("/", code), answer("there"))
    assert (await client.post(there.url, {"a": 1})).content == b"there"
    assert there.requests[0].endswith(b"\r\n\r\na=1")
    assert there.requests[1].startswith(b"GET / ")
    assert b"content-" not in there.requests[1].lower()


@pytest.mark.parametrize("code", [307, 308])
@pytest.mark.gen_test
async def test_post_stays_post(client, answer, redirect, peer, code):
    """After a 307 or 308, a POST keeps its method and body."""
    there = await peer(redirect("/", code), answer("there"))
    await client.post(there.url, {"a": 1})
    assert there.requests[1].startswith(b"POST / ")
    assert there.requests[1].endswith(b"\r\n\r\na=1")


@pytest.mark.gen_test
async def test_put_stays_put(client, answer, redirect, peer):
    """After a 302, a PUT stays a PUT."""
    there = await peer(redirect("/"), answer())
    await client.put(there.url, "x")
    assert there.requests[1].startswith(b"PUT / ")


@pytest.mark.gen_test
async def test_head_stays_head(client, answer, redirect, peer):
    """After a 303, a HEAD stays a HEAD."""
    there = await peer(redirect("/", 303), answer())
    await client.head(there.url)
    assert there.requests[1].startswith(b"HEAD / ")


@pytest.mark.gen_test
async def test_ten_are_followed(client, answer, redirect, peer):
    """Ten redirects are followed."""
    there = await peer(*[redirect("/")] * 10, answer("there"))
    assert (await client.get(there.url)).content == b"there"


@pytest.mark.gen_test
async def test_eleven_are_too_many(client, redirect, peer):
    """The eleventh redirect results in a 599."""
    there = await peer(redirect("/"))
    res = await client.get(there.url)
    assert (res.status_line, res.is_error) == ("599 Too many redirects", True)
    assert len(there.requests) == 11


@pytest.mark.gen_test
async def test_options_of_the_request(client, redirect, peer):
    """An `HTTPRequest` can allow fewer redirects, or return the redirect itself."""
    there = await peer(redirect("/next"))
    res = await client.request(HTTPRequest(there.url, max_redirects=1))
    assert (res.code, len(there.requests)) == (599, 2)
    res = await client.request(HTTPRequest(there.url, follow_redirects=False))
    assert (res.code, res.header("location"), res.is_error) == (302, "/next", False)


@pytest.mark.gen_test
async def test_without_location(client, answer, peer):
    """A redirect without a Location is returned as the response."""
    there = await peer(answer("x", status="302 Found"))
    assert (await client.get(there.url)).status_line == "302 Found"


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/", "file:///etc/hostname", "http://[::1/"])
@pytest.mark.gen_test
async def test_bad_target(client, redirect, peer, target):
    """A redirect to an invalid URL or to another scheme results in a 599."""
    there = await peer(redirect(target))
    assert (await client.get(there.url)).code == 599


@pytest.mark.gen_test
async def test_odd_target(client, answer, redirect, peer):
    """Spaces and UTF-8 in a Location are encoded, as browsers do."""
    there = await peer(redirect("/a b/é".encode().decode("latin-1")), answer())
    await client.get(there.url)
    assert there.requests[1].startswith(b"GET /a%20b/%C3%A9 HTTP/1.1\r\n")


SECRETS = {
    "Authorization": "Bearer a",
    "Proxy-Authorization": "Basic b",
    "Cookie": "a=b",
    "Referer": "http://x/?token=1",
}


@pytest.mark.gen_test
async def test_secrets_stay_with_their_host(client, answer, redirect, peer):
    """After a redirect to another host or port, no credentials and no old Host header are sent."""
    other = await peer(answer("there"))
    there = await peer(redirect(other.url))
    headers = SECRETS | {"Host": "there.example", "X-Kept": "yes"}
    assert (await client.get(there.url, headers=headers)).content == b"there"
    for value in (b"Bearer a", b"Basic b", b"a=b", b"token", b"there.example"):
        assert value in there.requests[0]
        assert value not in other.requests[0]
    assert f"Host: 127.0.0.1:{other.port}\r\n".encode() in other.requests[0]
    assert b"X-Kept: yes" in other.requests[0]


@pytest.mark.gen_test
async def test_password_of_the_url(client, answer, redirect, peer):
    """The user and password of a URL are sent to its host with Basic, and to no other host."""
    other = await peer(answer("there"))
    there = await peer(redirect("/next"), redirect(other.url.replace("//", "//eve:evil@")))
    res = await client.get(there.url.replace("//", "//me:p%40ss@"))
    for request in there.requests:
        assert b"Authorization: Basic bWU6cEBzcw==\r\n" in request
        assert b"Referer" not in request
        assert b"me:" not in request
    assert b"Authorization" not in other.requests[0]
    assert res.url == other.url


def test_redirected_makes_a_new_request():
    """`redirected` returns a new request, and does not change the old one."""
    request = HTTPRequest("http://a/", "POST", HTTPHeaders(SECRETS), "x")
    assert redirected(request, 303, "http://b/").url == "http://b/"
    assert (request.url, request.method, request.body) == ("http://a/", "POST", b"x")
    assert dict(request.headers) == SECRETS


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("HTTP://me:secret@A.Example:80?q#part", "http://a.example/?q"),
        ("https://[::1]:443/x", "https://[::1]/x"),
        ("https://a:80/", "https://a:80/"),
        ("http://a:/", "http://a/"),
    ],
)
def test_one_spelling(url, sent):
    """`split_url` normalizes the origin of a URL, so that equal origins compare equal."""
    assert split_url(url)[0] == sent


@pytest.mark.gen_test
async def test_secrets_on_the_same_host(client, answer, redirect, peer):
    """After a redirect to the same host, credentials are sent again."""
    there = await peer(redirect("/next"), answer())
    await client.get(there.url, headers=SECRETS)
    assert b"Bearer a" in there.requests[1]
    assert b"a=b" in there.requests[1]
