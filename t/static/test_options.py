"""A mistake in the arguments throws a TypeError that names the mistake."""

import pytest

URL = '"/events/a"'
MISTAKES = [
    ("", "the URL must be a string"),
    ("undefined", "the URL must be a string"),
    ("null", "the URL must be a string"),
    ('""', "the URL must be a string"),
    ("{ url: '/events/a' }", "the URL must be a string"),
    ('"http://"', "no such URL: http://"),
    ('"ws://127.0.0.1/events/a"', "not ws:"),
    ('"http://ann:secret@127.0.0.1/events/a"', "a user or a password"),
    (f"{URL}, null", "the options must be an object"),
    (f"{URL}, () => {{}}", "the options must be an object"),
    (f"{URL}, [() => {{}}]", "the options must be an object"),
    (f"{URL}, {{ onMessage() {{}} }}", "no such option: onMessage"),
    (f"{URL}, {{ lasteventid: undefined }}", "no such option: lasteventid"),
    (f"{URL}, {{ constructor: 1 }}", "no such option: constructor"),
    (f"{URL}, {{ onEvent: 'show' }}", "onEvent must be a function"),
    (f"{URL}, {{ onGap: null }}", "onGap must be a function"),
    (f"{URL}, {{ onState: {{}} }}", "onState must be a function"),
    (f"{URL}, {{ onEnd: true }}", "onEnd must be a function"),
    (f"{URL}, {{ getState: '/state' }}", "getState must be a function"),
    (f"{URL}, {{ transports: 'sse' }}", "transports must be a list"),
    (f"{URL}, {{ transports: [] }}", "transports must be a list"),
    (f"{URL}, {{ transports: [['sse']] }}", "transports must be a list"),
    (f"{URL}, {{ transports: ['pigeon'] }}", "no such transport: pigeon"),
    (f"{URL}, {{ lastEventId: 1 }}", "lastEventId must be a string"),
    (f"{URL}, {{ lastEventId: null }}", "lastEventId must be a string"),
    (f"{URL}, {{ clientId: 7 }}", "clientId must be a string"),
    (f"{URL}, {{ clientId: '' }}", "clientId must be a string"),
    (f"{URL}, {{ channels: 'a' }}", "channels must be a list of strings"),
    (f"{URL}, {{ channels: [1] }}", "channels must be a list of strings"),
    (f"{URL}, {{ shared: 'no' }}", "shared must be true or false"),
    (f"{URL}, {{ ticket: 'text' }}", "ticket must be a function"),
    (f"{URL}, {{ withCredentials: 'include' }}", "withCredentials must be true or false"),
    (f"{URL}, {{ headers: 'X: y' }}", "headers must be"),
    (f"{URL}, {{ headers: {{ 'X-A': undefined }} }}", "headers must be"),
    (f"{URL}, {{ headers: {{ 'a b': 'c' }} }}", "headers must be"),
    (f"{URL}, {{ headers: [['X-A']] }}", "headers must be"),
    (f"{URL}, {{ headers: {{ A: 'b' }}, transports: ['sse'] }}", "sse cannot send headers"),
]


@pytest.fixture
def attempt(tab):
    """`attempt("'/events/a', {}")` gives the name and message of the constructor's error."""
    page = tab()

    def attempt(arguments):
        return page.get(
            f"""import("/tatsumaki.js").then(({{ Subscription }}) => {{
                try {{ new Subscription({arguments}).close() }}
                catch ({{ name, message }}) {{ return [name, message] }}
            }})"""
        )

    return attempt


def test_mistakes(attempt):
    """For each mistake, the constructor throws a TypeError that names it."""
    for arguments, message in MISTAKES:
        name, said = attempt(arguments) or ["nothing", ""]
        assert (name, message in said) == ("TypeError", True), (arguments, said)


def test_what_is_no_mistake(attempt):
    """Valid arguments raise no error: undefined options are ignored, and headers may be empty."""
    for arguments in (
        URL,
        f"new URL({URL}, location)",
        f"{URL}, {{ onEvent: undefined, channels: undefined, lastEventId: '' }}",
        f"{URL}, {{ headers: {{}}, transports: ['sse'] }}",
        f"{URL}, {{ headers: new Map([['X-A', 'b']]) }}",
        "'#top'",
    ):
        assert attempt(arguments) is None, arguments
