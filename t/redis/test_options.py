"""The URL of Redis contains its address and the options."""

import pytest

from tatsumaki_py.message_queue.engine.redis.options import RedisOptions, parse


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", {"hosts": (("localhost", 6379),)}),
        ("redis://h:1/3", {"hosts": (("h", 1),), "db": 3}),
        ("rediss://u:p%40w@[::1]/", {"hosts": (("::1", 6379),), "username": "u"}),
        ("redis://:p%40w@h", {"password": "p@w"}),
        ("redis://h?password=a%26b&db=2", {"password": "a&b", "db": 2}),
        ("unix:///run/a%20b.sock?db=2", {"hosts": (), "path": "/run/a b.sock", "db": 2}),
        ("redis+unix://:pw@/redis.sock", {"path": "/redis.sock", "password": "pw"}),
        (
            "redis+sentinel://one,two:5000/chat/2?sentinel_password=s",
            {"hosts": (("one", 26379), ("two", 5000)), "service": "chat", "db": 2},
        ),
        ("rediss+sentinel://one/chat", {"tls": True, "kind": "sentinel", "service": "chat"}),
        ("redis+cluster://a:7000,b/0", {"kind": "cluster", "hosts": (("a", 7000), ("b", 6379))}),
        ("rediss+cluster://a", {"kind": "cluster", "tls": True}),
        (
            "redis://h?linger=2.5&ssl_check_hostname=no",
            {"linger": 2.5, "ssl_check_hostname": False},
        ),
    ],
)
def test_urls(url, expected):
    options = parse(url, {})
    assert {name: getattr(options, name) for name in expected} == expected


def test_keywords_count_as_the_query():
    options = parse("redis://h?linger=1", {"password": "s#/?@", "probe_interval": 5, "db": "2"})
    assert (options.password, options.probe_interval, options.db) == ("s#/?@", 5.0, 2)


@pytest.mark.parametrize(
    ("url", "keywords", "said"),
    [
        ("redis:h", {}, r"the URL of Redis must have the form redis://\["),
        ("redis://h:99999", {}, "the host or the port"),
        ("redis://a,b", {}, "takes one host"),
        ("redis://h/chat", {}, "the path in the URL"),
        ("redis://h/1/2", {}, "the path in the URL"),
        ("redis://h#1", {}, 'contains a "#": write it as %23'),
        ("redis://h\n", {}, "white space"),
        ("unix://", {}, r"the URL of Redis must have the form unix://\["),
        ("redis+sentinel://h", {}, "name of the service is missing"),
        ("redis+cluster://h/1", {}, "has only the database 0"),
        ("redis+cluster://h", {"db": 1}, "has only the database 0"),
        ("redis://h?lingr=1", {}, "no option 'lingr': did you mean linger"),
        ("redis://h?colour=1", {}, "no option 'colour': the options are username, "),
        ("redis://h?linger=1", {"linger": 1}, "the option linger is given twice"),
        ("redis://h/1?db=1", {}, "the option db is given twice: it is also in the URL"),
        ("redis://h?linger=soon", {}, "the option linger must be a number, not 'soon'"),
        ("redis://h?linger=nan", {}, "the option linger must be from 0 to 86400, not 'nan'"),
        ("redis://h?db=-1", {}, "the option db must be at least 0, not '-1'"),
        ("redis://h", {"db": True}, "the option db must be a whole number, not True"),
        ("redis://h?ssl_check_hostname=2", {}, "must be yes or no, not '2'"),
        ("redis://h?ssl_cert_reqs=maybe", {}, "must be one of required, none, not 'maybe'"),
        ("redis://h?sentinel_password=x", {}, "need a redis\\+sentinel:// URL"),
        ("redis://h?prefix={a}", {}, "the option prefix must not be"),
        ("redis://h?backoff=2&max_backoff=1", {}, "max_backoff must not be less"),
    ],
)
def test_mistakes(url, keywords, said):
    with pytest.raises(ValueError, match=said):
        parse(url, keywords)


@pytest.mark.parametrize(
    ("url", "keywords"),
    [
        ("redis://:s3cret/x@h", {}),
        ("redis://:s3cret@[h", {}),
        ("redis://:s3cret@h:x", {}),
        ("redis://:s3cret@h", {"password": "s3cret"}),
        ("redis://h?password=s3cret&nothing=1", {}),
        ("redis://h", {"password": b"s3cret"}),
    ],
)
def test_no_password_in_an_error(url, keywords):
    with pytest.raises(ValueError, match=r".") as raised:
        parse(url, keywords)
    error = raised.value
    while error is not None:
        assert "s3cret" not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_no_password_in_a_repr():
    options = parse("redis+sentinel://:s3cret@h/chat?sentinel_password=s3cret", {})
    assert isinstance(options, RedisOptions)
    assert "s3cret" not in f"{options!r} {options} {options.place}"
