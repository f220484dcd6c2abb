"""Rules: how they may be written, and in which order they are tried."""

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
    """Every way to write a rule that Tornado knows, and Tatsumaki's."""
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
    """A path matches to its end, also by a compiled pattern, and case counts."""
    answer = await fetch(path)
    assert (answer.code, answer.body) == (404, b"404 Not Found")


def test_constructor_keeps_its_arguments():
    """The list of rules is not emptied (the original does), and no rules are fine."""
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
        """Keys are paths or patterns, in their order."""
        assert (await fetch("/a/x")).body == b'["default",["x"],{}]'
        assert (await fetch("/b")).code == 200


@pytest.mark.parametrize("arguments", [("/a",), ("/a", Say, "/b"), ()])
def test_add_handlers_mistakes(arguments):
    """A path without a handler is a mistake that is named."""
    with pytest.raises(TypeError):
        Application().add_handlers(*arguments)


def test_reverse_url(app):
    """Named rules can be turned into paths."""
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
    """What is no rule is named, also a list of Perl's."""
    with pytest.raises(error, match=message):
        Application(rules)
