"""Rules: how they can be written, and in which order they are tried."""

import re

import pytest
from tornado.routing import HostMatches, PathMatches, Rule
from tornado.web import Application as TornadoApplication
from tornado.web import RequestHandler, url

from tatsumaki_py import Application, Handler


class Say(Handler):
    def initialize(self, what="default"):
        self.what = what

    def get(self, *args, **kwargs):
        self.write([self.what, args, kwargs])


class Plain(RequestHandler):
    def get(self):
        self.write(self.reverse_url("named", "x"))


def say(what):
    return {"what": what}


@pytest.fixture
def app():
    app = Application(
        [
            ("/tuple", Say),
            ["/list", Say, say("list")],
            ("/arguments", Say, say("arguments")),
            ("/four", Say, say("four"), "four"),
            url(r"/named/(\w+)", Say, say("named"), name="named"),
            Rule(PathMatches("/rule"), Say, say("rule")),
            (HostMatches("host.example"), [("/host", Say, say("host"))]),
            ("/nested/.*", [("/nested/a", Say, say("nested")), (re.compile("/nested/c"), Say)]),
            (re.compile(r"/compiled/(\d)"), Say, say("compiled")),
            [re.compile("/compiled-list$"), Say],
            (re.compile("/(?P<kind>A|AB)", re.IGNORECASE), Say, say("flags"), "compiled"),
            url(re.compile("/prefix"), Say, say("prefix")),
            ("/plain", Plain),
            ("/.*last", Say, say("first wins")),
            ("/very-last", Say, say("never")),
        ]
    )
    app.route("/routed", Say, what="routed")
    app.route(re.compile("/routed-compiled$"), Say, what="routed")
    app.add_handlers("/perl", Say, re.compile("/perl-compiled$"), Say)
    app.add_handlers("added.example", [("/tuple", Say, say("added")), (re.compile("/c$"), Say)])
    return app


@pytest.mark.parametrize(
    ("path", "host", "body"),
    [
        ("/tuple", "", '["default",[],{}]'),
        ("/list", "", '["list",[],{}]'),
        ("/arguments", "", '["arguments",[],{}]'),
        ("/four", "", '["four",[],{}]'),
        ("/named/a", "", '["named",["a"],{}]'),
        ("/rule", "", '["rule",[],{}]'),
        ("/host", "host.example", '["host",[],{}]'),
        ("/nested/a", "", '["nested",[],{}]'),
        ("/nested/c", "", '["default",[],{}]'),
        ("/compiled/1", "", '["compiled",["1"],{}]'),
        ("/compiled-list", "", '["default",[],{}]'),
        ("/ab", "", '["flags",[],{"kind":"ab"}]'),
        ("/prefix/x", "", '["prefix",[],{}]'),
        ("/plain", "", "/named/x"),
        ("/very-last", "", '["first wins",[],{}]'),
        ("/routed", "", '["routed",[],{}]'),
        ("/routed-compiled", "", '["routed",[],{}]'),
        ("/perl", "", '["default",[],{}]'),
        ("/perl-compiled", "", '["default",[],{}]'),
        ("/tuple", "added.example", '["added",[],{}]'),
        ("/c", "added.example", '["default",[],{}]'),
    ],
)
@pytest.mark.gen_test
async def test_match(fetch, path, host, body):
    """Rules can be written in all ways of Tornado and of Tatsumaki."""
    answer = await fetch(path, headers={"Host": host or "localhost"})
    assert (answer.code, answer.body.decode()) == (200, body)


@pytest.mark.parametrize(
    "path",
    [
        *("/tuple/", "/tuplex", "/nested/b", "/host", "/Tuple", "/routed/x"),
        *("/compiled/x", "/compiled/1x", "/compiled/1/", "/abc", "/nested/cx", "/perl-compiledx"),
    ],
)
@pytest.mark.gen_test
async def test_no_match(fetch, path):
    """A rule must match the whole path, even with a compiled pattern, and case matters."""
    answer = await fetch(path)
    assert (answer.code, answer.body) == (404, b"404 Not Found")


def test_constructor_keeps_its_arguments():
    """The constructor does not empty its list of rules (the original does); rules are optional."""
    rules = [("/", Say)]
    Application(rules)
    assert rules == [("/", Say)]
    assert isinstance(Application(), TornadoApplication)


class TestDict:
    """A dict of rules."""

    @pytest.fixture
    def app(self):
        return Application({r"/a/(\w)": Say, re.compile("/b$"): Say, "/a/.*": Plain})

    @pytest.mark.gen_test
    async def test_dict(self, fetch):
        """The keys are paths or patterns, and are tried in order."""
        assert (await fetch("/a/x")).body == b'["default",["x"],{}]'
        assert (await fetch("/b")).code == 200


@pytest.mark.parametrize("arguments", [("/a",), ("/a", Say, "/b"), ()])
def test_add_handlers_mistakes(arguments):
    """`add_handlers` raises a TypeError for a path without a handler."""
    with pytest.raises(TypeError):
        Application().add_handlers(*arguments)


def test_reverse_url(app):
    """`reverse_url` returns the path of a named rule."""
    assert app.reverse_url("named", "x") == "/named/x"
    assert app.reverse_url("four") == "/four"
    assert app.reverse_url("compiled", "x") == "/x"


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        (["/a", Say], TypeError, "a rule must be a pair like .'/path', Handler., not '/a'"),
        ([("/a",)], TypeError, "not .'/a',."),
        ([("/(a", Say)], ValueError, "route '/.a' is not a regular expression: missing"),
    ],
)
def test_rules_mistakes(rules, error, message):
    """An invalid rule raises an error that names it, even a flat list as in Perl."""
    with pytest.raises(error, match=message):
        Application(rules)
