"""The folders `templates` and `static` beside the program are defaults of an application."""

import os
import subprocess
import sys
import urllib.request

import pytest
from support.program import ROOT, STOP, free_port

PROGRAM = """
import sys
from tatsumaki_py import Application, Handler, Server, Template

class Page(Handler):
    def get(self, *path):
        self.render("page.html")

app = Application({"/": Page, "/static/(.*)": Page}, **eval(%r))
if __name__ == "__main__":
    Server().run(app)
"""
RUN = ([], ["-m", "tatsumaki_py"])


@pytest.fixture
def serve(tmp_path):
    """Starts the program with "/" as the current directory; returns a function that fetches."""
    processes = []
    (tmp_path / "page.html").write_text("of the module")

    def start(how, settings="{}"):
        path, port = tmp_path / "app.py", free_port()
        path.write_text(PROGRAM % settings)
        processes.append(
            subprocess.Popen(
                [sys.executable, *how, path],
                cwd="/",
                env={**os.environ, "PORT": str(port), "PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        )
        assert processes[0].stdout.readline()

        def get(path):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.read()

        return get

    yield start
    for process in processes:
        process.terminate()
        process.communicate(timeout=STOP)


@pytest.fixture
def directories(tmp_path):
    for name in ("templates", "static", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "page.html").write_text(f"in {name}")


@pytest.mark.parametrize("how", RUN)
def test_defaults(serve, directories, how):
    """The defaults are beside the program, whatever the current directory is."""
    get = serve(how)
    assert get("/") == b"in templates"
    assert get("/static/page.html") == b"in static"


@pytest.mark.parametrize("how", RUN)
def test_without(serve, how):
    """Without these folders, templates are beside the module, and there are no static files."""
    get = serve(how)
    assert get("/") == get("/static/page.html") == b"of the module"


@pytest.mark.parametrize(
    ("settings", "template", "static"),
    [
        ("{'template_path': None, 'static_path': None}", b"of the module", b"of the module"),
        ("{'static_path': sys.path[0] + '/other'}", b"in templates", b"in other"),
        ("{'template_path': sys.path[0] + '/other'}", b"in other", b"in static"),
        ("{'template': Template(sys.path[0] + '/other')}", b"in other", b"in static"),
    ],
)
def test_settings_win(serve, directories, settings, template, static):
    """Settings override the defaults: None, other folders, or an engine with its own folders."""
    get = serve([], settings)
    assert (get("/"), get("/static/page.html")) == (template, static)


def test_interactive():
    """Without a program file, there are no defaults."""
    code = "from tatsumaki_py import Application; print(Application().settings.get('static_path'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "t", capture_output=True, text=True, check=True
    )
    assert done.stdout == "None\n"
