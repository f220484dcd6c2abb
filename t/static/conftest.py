"""A server with channels, and pages that subscribe to the channels."""

import itertools
import json
import time
import urllib.parse
import urllib.request

import pytest
from support.program import Program, free_port

PROGRAM = "t/static/program.py"


class Site:
    """The running program, and a channel that no other test uses."""

    _numbers = itertools.count()

    def __init__(self, program):
        self.program = program
        self.url = program.url
        self.channel = f"room{next(self._numbers)}"

    def publish(self, *numbers, channel=None):
        """Publishes an event `{"n": ...}` for each number, one by one, and returns their ids."""
        path = f"publish/{channel or self.channel}"
        return [self._open(path, {"n": number})["id"] for number in numbers]

    def publish_values(self, *values, channel=None):
        """Publishes any JSON values in one request, and returns their ids."""
        return self._open(f"publish/{channel or self.channel}", values)["ids"]

    def control(self, what):
        """The result of the method `what` of `Control` in the program."""
        return self._open(f"control/{what}/{self.channel}")["result"]

    def until(self, condition):
        """Waits until `condition()` is true."""
        deadline = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < deadline, "the condition did not become true in time"
            time.sleep(0.02)

    def _open(self, path, body=None):
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.load(response)


class Tab:
    """A page that subscribes."""

    def __init__(self, page, site, clock=False):
        """With `clock`, the page's time advances only in `pass_time`."""
        self.page = page
        self._polls = set()
        page.on("request", self._asked)
        for event in ("requestfinished", "requestfailed"):
            page.on(event, self._answered)
        if clock:
            page.clock.install(time=0)
            page.clock.pause_at(1)
        page.goto(site.url)
        page.wait_for_function("() => Boolean(window.subscribe)")

    def subscribe(self, url, **options):
        self.page.evaluate("([url, options]) => subscribe(url, options)", [url, options])
        return self

    def pass_time(self, *seconds):
        """Advances the page's clock by each of `seconds`, and waits for answers after each step.

        Each wait takes 0.1 seconds, or up to a second if interval polls have not been answered.
        """
        for time_ in seconds:
            self.page.clock.run_for(time_ * 1000)
            self.page.wait_for_timeout(100)
            for _ in range(18):
                if not self._polls:
                    break
                self.page.wait_for_timeout(50)

    def _asked(self, request):
        if "interval-poll" in request.url:
            self._polls.add(request)

    def _answered(self, request):
        self._polls.discard(request)

    def show(self, visible):
        """Acts as if the tab were brought to the front, or covered by another tab."""
        self.page.evaluate(
            """(value) => {
                Object.defineProperty(document, "hidden", { value, configurable: true });
                document.dispatchEvent(new Event("visibilitychange"));
            }""",
            not visible,
        )

    def go_away(self):
        """Acts as if the browser put the page into its back/forward cache."""
        self.get("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")

    def come_back(self):
        """Acts as if the browser took the page out of its back/forward cache."""
        self.get("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")

    def until(self, condition):
        """Waits until a JavaScript expression is true."""
        self.page.wait_for_function(f"() => {condition}", timeout=20_000)
        return self

    def open(self, transport=None):
        """Waits until the page is connected, with `transport` if that is given."""
        self.until("subscription.state === 'open'")
        if transport:
            self.until(f"subscription.transport === '{transport}'")
        return self

    def has(self, *numbers):
        """Waits for the last event `{"n": ...}`; fails unless the page has exactly these events."""
        self.until(f"events.at(-1)?.data.n === {json.dumps(numbers[-1])}")
        assert self.numbers() == list(numbers)
        return self

    def numbers(self):
        return self.page.evaluate("events.map((event) => event.data.n)")

    def get(self, expression):
        return self.page.evaluate(expression)


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """The program, which is started once for all tests."""
    program = Program(PROGRAM, free_port(), tmp_path_factory.mktemp("static"))
    program.start()
    yield program
    program.stop()
    assert "Traceback" not in program.stderr, program.stderr


@pytest.fixture
def site(program):
    """A `Site` on the program; a file whose tests stop the program has its own."""
    return Site(program)


@pytest.fixture
def tab(new_page, site, page_errors):
    """`tab("/events/{}", transports=["sse"])` opens a page that subscribes, as a new visitor.

    With `beside`, another `Tab`, the page is a second tab of the same visitor. "{}" stands for the
    channel of the test.
    """

    def open_tab(url="/events/{}", clock=False, beside=None, **options):
        if beside is None:
            page = new_page()
        else:
            page = beside.page.context.new_page()
            page_errors.watch(page)
        return Tab(page, site, clock).subscribe(url.format(site.channel), **options)

    return open_tab
