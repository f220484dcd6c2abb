"""ETag, ``v=`` and Last-Modified belong to the bytes that are sent."""

import hashlib
import os
import threading
import time

import pytest
import tornado.web
from support.wire import read_head

from tatsumaki_py import Application, Handler
from tatsumaki_py.static_file import StaticFile

SIZES = {"small": 10, "chunks": 100_000, "large": 1_500_000}


class Url(Handler):
    def get(self, name):
        self.write(self.static_url(name))


class Upper(StaticFile):
    """Overrides `get_content`, as Tornado allows."""

    @classmethod
    def get_content(cls, abspath, start=None, end=None):
        return b"".join(super().get_content(abspath, start, end)).upper()


class Dated(StaticFile):
    @classmethod
    def get_content_version(cls, abspath):
        return "mine"

    def get_cache_time(self, path, modified, mime_type):
        return 60


class Stored(StaticFile):
    """Serves content that is not in the file system."""

    @classmethod
    def get_absolute_path(cls, root, path):
        return path

    def validate_absolute_path(self, root, absolute_path):
        return absolute_path

    @classmethod
    def get_content(cls, abspath, start=None, end=None):
        return b"stored"[start:end]

    def get_content_size(self):
        return 6

    def get_modified_time(self):
        return None


@pytest.fixture
def directory(tmp_path):
    for name, size in SIZES.items():
        write(tmp_path / name, "a" * size)
    return tmp_path


@pytest.fixture(params=[Application, tornado.web.Application])
def app(request, directory):
    kinds = (Upper, Dated, Stored)
    return request.param(
        [
            ("/url/(.*)", Url),
            *((f"/{kind.__name__}/(.*)", kind, {"path": directory}) for kind in kinds),
        ],
        static_path=str(directory),
        static_handler_class=StaticFile,
    )


def write(path, text, age=60.0):
    """Writes a file, with a time of the last change `age` seconds ago."""
    path.write_text(text)
    os.utime(path, (time.time() - age,) * 2)


def hashed(body):
    return f'"{hashlib.sha512(body).hexdigest()}"'


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.gen_test
async def test_changed(fetch, app, directory, name):
    """A changed file immediately has a new ETag, and the old one is not answered with 304.

    The size stays the same, and the time of the change differs by 1 ns at most.
    """
    path = directory / name
    before = await fetch(f"/static/{name}")
    again = {"If-None-Match": before.headers["Etag"]}
    assert (await fetch(f"/static/{name}", headers=again)).code == 304
    times = path.stat().st_mtime_ns + (name == "large")
    path.write_text("b" * SIZES[name])
    os.utime(path, ns=(times, times))
    after = await fetch(f"/static/{name}", headers=again)
    assert (after.code, after.body) == (200, path.read_bytes())
    assert after.headers["Etag"] != before.headers["Etag"]
    assert after.headers["Etag"] == (await fetch(f"/static/{name}", method="HEAD")).headers["Etag"]


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.gen_test
async def test_url(fetch, app, directory, name):
    """The URL changes with the file, and caches keep only the current URL for years."""
    old = (await fetch(f"/url/{name}")).body.decode()
    assert "max-age" in (await fetch(old)).headers["Cache-Control"]
    write(directory / name, "b" * SIZES[name], age=30)
    new = (await fetch(f"/url/{name}")).body.decode()
    assert new != old
    assert "max-age" in (await fetch(new)).headers["Cache-Control"]
    for url in (old, old.split("?")[0]):
        answer = await fetch(url)
        assert (answer.headers["Cache-Control"], answer.body[:1]) == ("no-cache", b"b")
    for own in ("1.2", "2026-01", "abc"):
        assert "max-age" in (await fetch(f"/static/{name}?v={own}")).headers["Cache-Control"]


@pytest.mark.gen_test
async def test_url_of_what_is_not_there_yet(fetch, app, directory, expect_log):
    """The URL of a missing file has no version until the file exists."""
    with expect_log("tornado.general", "Could not open static file"):
        assert (await fetch("/url/new")).body == b"/static/new"
    write(directory / "new", "new")
    assert b"?v=" in (await fetch("/url/new")).body


@pytest.mark.parametrize("name", ["small", "chunks"])
@pytest.mark.gen_test
async def test_while_it_is_replaced(fetch, app, directory, name):
    """While a file is being replaced, each answer is one whole file with its ETag."""
    over = threading.Event()

    def rewrite():
        for number in range(10**9):
            if over.is_set():
                return
            (directory / "next").write_text(chr(97 + number % 26) * SIZES[name])
            os.replace(directory / "next", directory / name)

    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        answers = [await fetch(f"/static/{name}") for _ in range(50)]
    finally:
        over.set()
        thread.join()
    assert all(answer.headers["Etag"] == hashed(answer.body) for answer in answers)
    assert len({answer.body for answer in answers}) > 1


@pytest.mark.gen_test
async def test_changed_on_its_way(app, directory, http_server, http_port, raw, expect_log):
    """If a file changes while it is sent, the answer is cut off."""
    with (directory / "huge").open("w") as file:
        file.truncate(30_000_000)
    client = await raw(http_port)
    await client.send(b"GET /static/huge HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await read_head(client)
    with (directory / "huge").open("r+") as file:
        file.write("b")
    with expect_log("tornado.general", "huge was changed while it was read|Cannot send|partial"):
        body = await client.read_all()
    assert head.status == 200
    assert 0 < len(body) < 30_000_000


# -- seconds


@pytest.mark.gen_test
async def test_last_modified(fetch, app, directory):
    """Only an old enough change has a Last-Modified; only that exact date is answered with 304."""
    answer = await fetch("/static/small")
    told = answer.headers["Last-Modified"]
    assert (await fetch("/static/small", headers={"If-Modified-Since": told})).code == 304
    # A restored file may be older than the file that it replaces.
    write(directory / "small", "older", age=600)
    answer = await fetch("/static/small", headers={"If-Modified-Since": told})
    assert (answer.code, answer.body) == (200, b"older")
    for age in (0, -100):
        write(directory / "small", "newer", age=age)
        answer = await fetch("/static/small", headers={"If-Modified-Since": told})
        assert (answer.code, "Last-Modified" in answer.headers) == (200, False)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.gen_test
async def test_if_range(fetch, app, directory, name):
    """A range of a file is sent only if If-Range matches; otherwise, the whole file is sent."""
    answer = await fetch(f"/static/{name}")
    for condition in (answer.headers["Etag"], answer.headers["Last-Modified"]):
        asked = {"Range": "bytes=4-7", "If-Range": condition}
        answer = await fetch(f"/static/{name}", headers=asked)
        assert (answer.code, answer.body) == (206, b"aaaa")
    write(directory / name, "b" * SIZES[name], age=30)
    for condition in (asked["If-Range"], '"x"', "Thu, 99 Foo 0000 00:00:00 GMT"):
        answer = await fetch(f"/static/{name}", headers=asked | {"If-Range": condition})
        assert (answer.code, len(answer.body)) == (200, SIZES[name])


# -- what a subclass may override


@pytest.mark.gen_test
async def test_overridden(fetch, app, directory):
    """A subclass can override the content, version and times."""
    answer = await fetch("/Upper/small")
    assert (answer.body, answer.headers["Etag"]) == (b"A" * 10, hashed(b"A" * 10))
    answer = await fetch("/Dated/small")
    assert (answer.headers["Etag"], answer.headers["Cache-Control"]) == ('"mine"', "max-age=60")
    answer = await fetch("/Stored/x", headers={"If-Modified-Since": "x"})
    assert (answer.body, answer.headers["Etag"]) == (b"stored", hashed(b"stored"))


@pytest.mark.gen_test
async def test_what_cannot_be_read(fetch, app, directory, monkeypatch, expect_log):
    """An unreadable file is answered with 403, and one that has just been removed with 404."""
    for error, code in ((PermissionError, 403), (FileNotFoundError, 404)):

        def fail(*args, error=error):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", fail)
            if code == 403:
                with expect_log("tornado.general", "small cannot be read"):
                    answer = await fetch("/static/small")
            else:
                answer = await fetch("/static/small")
        assert answer.code == code
