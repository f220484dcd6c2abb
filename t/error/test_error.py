"""The exceptions of the package, outside of a request."""

import copy
import pickle
from http import HTTPStatus

import pytest
import tornado.web

from tatsumaki_py import Error
from tatsumaki_py.error import MissingParameter


def test_http():
    """`Error.HTTP` has a code and a message, which is its text, and is a Tornado HTTPError."""
    with pytest.raises(Error.HTTP) as raised:
        Error.HTTP.throw(500, "Oops")
    error = raised.value
    assert (error.code, error.status_code, error.message, str(error)) == (500, 500, "Oops", "Oops")
    assert repr(error) == "Error.HTTP(500, 'Oops')"
    assert isinstance(error, Error)
    assert isinstance(error, tornado.web.HTTPError)


@pytest.mark.parametrize(
    ("code", "message"), [(404, "Not Found"), (999, "Unknown"), (418, "I'm a Teapot")]
)
def test_default_message(code, message):
    """Without a message, or with an empty one, the message is the status phrase."""
    assert Error.HTTP(code).message == Error.HTTP(code, "").message == message


@pytest.mark.parametrize("code", [42, 199, 1000, -1, "404", None, True, 404.0])
def test_bad_code(code):
    """A value that is not a status code raises a `ValueError`."""
    with pytest.raises(ValueError, match="from 200 to 999, not "):
        Error.HTTP(code)


def test_named_code():
    """`http.HTTPStatus` values can be used as codes."""
    error = Error.HTTP(HTTPStatus.FORBIDDEN)
    assert (error.code, repr(error)) == (403, "Error.HTTP(403, 'Forbidden')")


@pytest.mark.parametrize(
    "error",
    [
        Error.HTTP(403, "no", log_message="100% no"),
        Error.HTTP(503, "later", retry_after=5),
        Error.HTTP(999),
        MissingParameter("x"),
        Error.ClientDisconnect(),
        Error("mine"),
    ],
)
def test_copies(error):
    """A copied or pickled exception keeps all of its data."""
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is type(error)
        assert (str(other), repr(other)) == (str(error), repr(error))
        for name in ("log_message", "retry_after"):
            assert getattr(other, name, None) == getattr(error, name, None)


def test_missing_parameter():
    """`MissingParameter` is a 400 and a KeyError; `get` of the mapping relies on the latter."""
    error = MissingParameter("x")
    assert (error.code, str(error)) == (400, "missing parameter: x")
    assert isinstance(error, KeyError)


def test_throw_any():
    """Every exception of the package can be thrown, in the middle of an expression."""
    with pytest.raises(Error.ClientDisconnect, match="Client disconnected"):
        _ = None or Error.ClientDisconnect.throw()
    with pytest.raises(Error, match="mine"):
        Error.throw("mine")
