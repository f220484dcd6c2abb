"""`prepare` runs before the method."""

import pytest

from tatsumaki_py import Application, Error, Handler


class Prepare(Handler):
    async def prepare(self):
        if self.request.param("no"):
            Error.HTTP.throw(401, "prepare says no")
        if self.request.param("done"):
            self.finish("done")
            return
        self.write("P:", *self.args, ":")

    def get(self, name):
        self.write("got")


@pytest.fixture
def app():
    return Application([(r"/(\w+)", Prepare)])


@pytest.mark.gen_test
async def test_prepare(fetch):
    """`prepare` writes first, knows the arguments, and may answer or refuse the request."""
    assert (await fetch("/a")).body == b"P:a:got"
    assert (await fetch("/a?done=1")).body == b"done"
    for method in ("GET", "HEAD", "PUT"):
        answer = await fetch("/a?no=1", method=method)
        assert answer.code == 401
    assert (await fetch("/a?no=1", method="PUT")).body == b"prepare says no"


@pytest.mark.gen_test
async def test_method_that_is_not_there(fetch):
    """`prepare` runs before the 405 for a missing method, but not for an unknown method."""
    assert (await fetch("/a", method="PUT")).code == 405
    assert (await fetch("/a?no=1", method="FOO")).code == 405
