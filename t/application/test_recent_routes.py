"""The handlers of recent paths are cached, but only if the path alone determines the handler."""

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.routing import Matcher, PathMatches, Rule

from tatsumaki_py import Application, Handler
from tatsumaki_py.recent_routes import LONG_PATH, MAX_PATHS


class One(Handler):
    pass


class Two(Handler):
    pass


class Evening(Matcher):
    """Checks a header, not only the path."""

    def match(self, request):
        return {} if request.headers.get("Time") == "evening" else None


@pytest.fixture
def app():
    return Application([(r"/one/(\w+)", One, {"a": 1}), (r"/two/(?P<name>\w+)", Two)])


def find(app, path, **headers):
    line = RequestStartLine("GET", path, "HTTP/1.1")
    request = HTTPServerRequest(start_line=line, headers=HTTPHeaders({"Host": "x", **headers}))
    found = app.find_handler(request)
    assert found.request is request
    return found.handler_class, found.handler_kwargs, found.path_args, found.path_kwargs


def test_again(app):
    for _ in range(2):
        assert find(app, "/one/a?b=c") == (One, {"a": 1}, [b"a"], {})
        assert find(app, "/two/caf%C3%A9")[0] is app.settings["default_handler_class"]
        assert find(app, "/two/b") == (Two, {}, [], {"name": b"b"})
    assert app._recent_routes._found.keys() == {"/one/a", "/two/b"}


def test_a_new_rule(app):
    missing = find(app, "/three")
    app.route("/three", One)
    assert find(app, "/three") == (One, {}, [], {})
    assert missing[0] is app.settings["default_handler_class"]
    find(app, "/one/a")
    app.add_handlers("x", [(r"/one/a", Two)])
    assert find(app, "/one/a")[0] is Two


def test_another_rule_in_its_place(app):
    find(app, "/one/a")
    app.wildcard_router.rules[0] = Rule(PathMatches("/one/a"), Two)
    assert find(app, "/one/a")[0] is Two
    app.wildcard_router.rules.reverse()
    app.wildcard_router.rules[0] = Rule(PathMatches("/one/.*"), One)
    assert find(app, "/one/a")[0] is One


def test_override():
    """An override of `get_handler_delegate` is called as in Tornado, and can change arguments."""

    class Mine(Application):
        def get_handler_delegate(self, request, target_class, **kwargs):
            kwargs.get("path_kwargs", {}).pop("lang", None)
            return super().get_handler_delegate(request, target_class, **kwargs)

    app = Mine([(r"/(?P<lang>\w+)/(?P<name>\w+)", One), ("/", Two)])
    for _ in range(2):
        assert find(app, "/en/a") == (One, {}, [], {"name": b"a"})
        assert find(app, "/") == (Two, {}, [], {})


def test_more_than_the_path(app):
    """With a custom matcher, the handler is determined again for each request."""
    app.wildcard_router.rules.insert(1, Rule(Evening(), Two))
    app.route("/three", One)
    for _ in range(2):
        assert find(app, "/three", Time="evening")[0] is Two
        assert find(app, "/three")[0] is One
        assert find(app, "/one/a", Time="evening")[0] is One


def test_bounds(app):
    for number in range(MAX_PATHS + 10):
        find(app, f"/one/{number}")
        assert len(app._recent_routes._found) <= MAX_PATHS
    found = find(app, "/one/" + "a" * LONG_PATH)
    assert found[2] == [b"a" * LONG_PATH]
    assert all(len(path) <= LONG_PATH for path in app._recent_routes._found)
