"""Two processes that share a Redis, with pages of two users, one of them on another origin."""

import pytest
from playwright.sync_api import expect
from support.browser import GONE
from support.excerpts import assert_excerpts
from support.program import Program, all_running, free_port

FOLDER = "examples/recipes/private-channels"


@pytest.fixture
def processes(redis_server, tmp_path):
    """Two `Program`s with one Redis and one database.

    Pages from the origin of the second program get tickets from the first.
    """
    ports = free_port(), free_port()
    environment = {
        "TATSUMAKI_ENGINE": redis_server.url,
        "DATABASE": str(tmp_path / "sessions.db"),
        "COOKIE_SECRET": "sesame",
        "HERE": f"http://127.0.0.1:{ports[0]}",
        "ELSEWHERE": f"http://127.0.0.1:{ports[1]}",
    }
    programs = [Program(f"{FOLDER}/app.py", port, tmp_path, environment) for port in ports]
    with all_running(programs):
        yield programs


@pytest.fixture
def log_in(new_page):
    """`page = log_in(program, "ann")` opens a browser and logs this user in."""

    def log_in(program, user):
        page = new_page()
        page.goto(program.url)
        page.get_by_label("Name").fill(user)
        page.get_by_label("Password").fill(user)
        page.get_by_role("button", name="Log in").click()
        expect_state(page, "open")
        return page

    return log_in


def expect_state(page, state):
    expect(page.locator("#state")).to_have_text(state, timeout=15_000)


def expect_messages(page, *messages):
    expect(page.locator("#messages li")).to_have_text(list(messages), timeout=15_000)


def send(page, to, text):
    page.locator("#send").get_by_label("To").select_option(to)
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_label("Message")).to_have_value("")


def connect_elsewhere(new_page, program, token):
    """Opens a page from another origin, without a cookie, and connects it."""
    page = new_page()
    page.goto(f"{program.url}elsewhere")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Connect").click()
    return page


def test_private_channels(processes, log_in, new_page, page_errors):
    """A user gets each message for this user once, even across a restart.

    A logout ends the connections of a session, and a ban ends all connections of a user, even
    those to other processes and from other origins.
    """
    page_errors.allow(f"{GONE}|401|403")
    first, second = processes
    ann, phone, bob = log_in(first, "ann"), log_in(second, "ann"), log_in(second, "bob")
    token = ann.locator("#token").text_content()
    other = connect_elsewhere(new_page, second, token)
    expect_state(other, "open")
    send(bob, "ann", "<b>one</b>")
    send(ann, "bob", "two")
    for page in (ann, phone, other):
        expect_messages(page, "bob: <b>one</b>")
    expect_messages(bob, "ann: two")

    first.stop()
    send(bob, "ann", "three")
    first.start()
    for page in (ann, phone, other):
        expect_messages(page, "bob: <b>one</b>", "bob: three")
        expect_state(page, "open")

    ann.get_by_role("button", name="Log out").click()
    expect(ann.get_by_role("button", name="Log in")).to_be_visible()
    expect(other.locator("#state")).to_contain_text("logged out", timeout=15_000)
    send(bob, "ann", "four")
    expect_messages(phone, "bob: <b>one</b>", "bob: three", "bob: four")
    expect_messages(other, "bob: <b>one</b>", "bob: three")
    forged = connect_elsewhere(new_page, second, token[:-1])
    expect(forged.locator("#state")).to_contain_text("logged out")

    ann = log_in(first, "ann")
    admin = log_in(second, "admin")
    admin.get_by_label("User").select_option("ann")
    admin.get_by_role("button", name="Ban").click()
    for page in (ann, phone):
        expect_state(page, "you are logged out")
    send(bob, "ann", "five")
    expect(ann.locator("#messages")).not_to_contain_text("five")
    assert "five" not in phone.content()
    for program in processes:
        assert token not in program.stderr


def test_the_page():
    """The page shows the code of the program."""
    templates = [f"{FOLDER}/templates/{name}.html" for name in ("page", "elsewhere")]
    assert_excerpts("docs/recipes/private-channels.md", f"{FOLDER}/app.py", *templates)
