"""The list of the people in a room, from two processes over Redis, in real browsers."""

import pytest
from playwright.sync_api import expect
from support.browser import GONE
from support.excerpts import assert_excerpts
from support.program import Program, all_running, free_port

RECIPE = "examples/recipes/presence_list.py"
HOSTILE = "<img src=x onerror='ran = 1'>"


@pytest.fixture
def processes(redis_server, tmp_path):
    """Two `Program`s with one Redis and one database."""
    environment = {
        "TATSUMAKI_ENGINE": redis_server.url,
        "DATABASE": str(tmp_path / "present.db"),
        "COOKIE_SECRET": "sesame",
        "GRACE": "1",
    }
    programs = [Program(RECIPE, free_port(), tmp_path, environment) for _ in range(2)]
    with all_running(programs):
        yield programs


@pytest.fixture
def come(new_page):
    """`page = come(program, "Ann")` opens a browser as this person, who enters the room."""

    def come(program, name):
        page = new_page()
        page.goto(program.url)
        page.get_by_label("Your name").fill(name)
        page.get_by_role("button").click()
        expect(page.get_by_role("listitem").get_by_text(name, exact=True)).to_be_visible()
        expect(page.locator("#state")).to_have_text("open")
        return page

    return come


def expect_people(page, *names):
    expect(page.get_by_role("listitem")).to_have_text(list(names), timeout=15_000)


def record(page):
    """Keeps each list that the page shows from now on in `lists`."""
    page.evaluate(
        """() => {
            globalThis.lists = [];
            const people = document.getElementById("people");
            const note = () => lists.push([...people.children].map((item) => item.textContent));
            new MutationObserver(note).observe(people, { childList: true });
        }"""
    )


def test_presence(processes, come, page_errors):
    """A person with several tabs and browsers is listed once, until the last one is closed.

    A reload and a restart of a server do not change the list.
    """
    page_errors.allow(GONE)
    first, second = processes
    bob = come(second, "Bob")
    # Guests leave when their names are changed.
    expect_people(bob, "Bob")
    record(bob)
    ann = come(first, HOSTILE)
    expect_people(bob, HOSTILE, "Bob")
    tab = ann.context.new_page()
    tab.goto(first.url)
    expect_people(tab, HOSTILE, "Bob")
    phone = come(second, HOSTILE)
    expect_people(phone, HOSTILE, "Bob")

    bob.evaluate("lists.length = 0")
    ann.close()
    tab.reload()
    expect(tab.locator("#state")).to_have_text("open")
    phone.context.close()
    first.restart()
    expect(tab.locator("#state")).to_have_text("open", timeout=15_000)
    bob.wait_for_timeout(1500)
    expect_people(bob, HOSTILE, "Bob")
    people = [
        [name for name in names if not name.startswith("Guest")] for names in bob.evaluate("lists")
    ]
    assert people
    assert all(names == [HOSTILE, "Bob"] for names in people)
    tab.close()
    expect_people(bob, "Bob")
    assert bob.evaluate("typeof ran") == "undefined"


def test_the_page():
    """The page shows the code of the program."""
    assert_excerpts("docs/recipes/presence-list.md", RECIPE)
