"""Ordinary answers have an ETag; answers that waited for events have none."""

import pytest

from tatsumaki_py import Application, Handler, MessageQueue


class Plain(Handler):
    def get(self):
        self.write("same")


class Asynchronous(Handler):
    asynchronous = True

    def get(self):
        self.finish("same")


class Poll(Handler):
    async def get(self):
        self.write(await MessageQueue.instance("etag").poll_once("me", timeout=0))


@pytest.fixture
def app():
    return Application([("/plain", Plain), ("/asynchronous", Asynchronous), ("/poll", Poll)])


@pytest.mark.gen_test
async def test_plain(fetch):
    """A request with the ETag of the same answer gets a 304."""
    etag = (await fetch("/plain")).headers["Etag"]
    assert (await fetch("/plain", headers={"If-None-Match": etag})).code == 304


@pytest.mark.parametrize("path", ["/asynchronous", "/poll"])
@pytest.mark.gen_test
async def test_pushed(fetch, path):
    """An answer that waited has no ETag, and is never a 304."""
    answer = await fetch(path, headers={"If-None-Match": "*"})
    assert answer.code == 200
    assert "Etag" not in answer.headers


@pytest.mark.gen_test
async def test_not_stored(fetch):
    """The answer to a poll has `Cache-Control: no-store`."""
    assert (await fetch("/poll")).headers["Cache-Control"] == "no-store"
