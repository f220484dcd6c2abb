"""Programs ported from Perl: each folder has the original, `app.psgi`, and its port, `app.py`."""

import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.program import ROOT


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


@pytest.fixture
def ported(serve_program):
    """`ask = ported("status")` runs the program; `answer = ask("/path", "POST", body, headers)`.

    The answer has `status`, `headers` and `body`; `ask.open(...)` returns an unread answer.
    """
    opener = urllib.request.build_opener(_Stay)

    def ported(name):
        program = serve_program(Path(__file__).parent.relative_to(ROOT) / name / "app.py")

        def send(path, method="GET", body=None, headers=()):
            if isinstance(body, dict):
                body = urllib.parse.urlencode(body)
            data = body.encode() if isinstance(body, str) else body
            url = program.url + path.lstrip("/")
            request = urllib.request.Request(url, data, dict(headers), method=method)
            try:
                return opener.open(request, timeout=10)
            except urllib.error.HTTPError as answer:
                return answer

        def ask(*args, **kwargs):
            with send(*args, **kwargs) as answer:
                body = answer.read()
            return SimpleNamespace(status=answer.status, headers=answer.headers, body=body)

        ask.open, ask.program = send, program
        return ask

    return ported
