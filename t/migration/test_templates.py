"""White space and caching of templates are as the guide says."""

import pytest

from tatsumaki_py import Application, Handler


class Page(Handler):
    def get(self):
        self.render("page.html", {"word": "<&\"'>"})


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("<p>  {{ word }}</p>\n{# no line #}\n\n{{! }}\n")
    return path


@pytest.fixture(params=[{}, {"template_whitespace": "all"}, {"compiled_template_cache": False}])
def settings(request):
    return request.param


@pytest.fixture
def app(page, settings):
    return Application([("/", Page)], template_path=page.parent, **settings)


@pytest.mark.gen_test
async def test_page(fetch, page, settings):
    """Runs of white space become one character, unless `template_whitespace` is "all".

    A changed file is read again only if `compiled_template_cache` is False.
    """
    kept = "template_whitespace" in settings
    text = "<p>  {}</p>\n\n\n{{{{ }}}}\n" if kept else "<p> {}</p>\n\n{{{{ }}}}\n"
    answer = await fetch("/")
    assert answer.body.decode() == text.format("&lt;&amp;&quot;&#x27;&gt;")
    page.write_text("new")
    again = (await fetch("/")).body
    assert again == (b"new" if "compiled_template_cache" in settings else answer.body)
