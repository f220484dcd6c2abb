"""Answers without a body, as programs of Tatsumaki write them."""

import pytest

from tatsumaki_py import Application, Handler


class Nothing(Handler):
    asynchronous = True

    def get(self, value):
        self.response.code = 204
        self.write(*{"none": [None], "text": [""], "bytes": [b"", ""], "missing": []}[value])
        return self.finish("")

    def post(self, value):
        self.response.code = 204
        self.finish()


@pytest.fixture
def app():
    return Application([(r"/(\w+)", Nothing)])


@pytest.mark.parametrize("value", ["none", "text", "bytes", "missing"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.gen_test
async def test_nothing(fetch, method, value):
    """A 204 may be finished with an empty value, which is not a body."""
    answer = await fetch(f"/{value}", method=method)
    assert (answer.code, answer.body) == (204, b"")
