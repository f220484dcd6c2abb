"""The last value of each key, for a client and in a browser."""

import json
import re

import pytest
from playwright.sync_api import expect
from support.browser import GONE
from support.program import ROOT
from support.recipe import ask, code_blocks

from tatsumaki_py.testing import Subscriber

PROGRAM = "examples/recipes/latest_value.py"


async def publish(url, currency, rate):
    """Publishes a rate as the page does."""
    body = json.dumps({"currency": currency, "rate": rate})
    headers = {"Content_Type": "application/json", "Event_Key": currency}
    answer = await ask(f"{url}publish/rates", "POST", body, **headers)
    assert answer.code == 200


async def rates(client, count):
    """The next `count` rates that a client gets."""
    return [tuple((await client.next()).data.values()) for _ in range(count)]


@pytest.mark.gen_test
async def test_newcomers_and_reconnects(serve_program, tmp_path):
    """A new client gets the last rates, even after a restart.

    A client that reconnects gets the events that it missed.
    """
    environment = {"TATSUMAKI_ENGINE": f"sqlite:{tmp_path / 'rates.db'}"}
    program = serve_program(PROGRAM, environment=environment)
    url = program.url
    await publish(url, "JPY", 169.4)
    for n in range(20):
        await publish(url, "EUR", n)
    async with Subscriber(f"{url}events/rates", "sse") as client:
        assert await rates(client, 2) == [("JPY", 169.4), ("EUR", 19)]
        client.close()
        await publish(url, "EUR", 20)
        await publish(url, "EUR", 21)
        program.restart()
        await client.reconnect()
        assert await rates(client, 2) == [("EUR", 20), ("EUR", 21)]
    async with Subscriber(f"{url}events/rates", "websocket") as client:
        assert await rates(client, 2) == [("JPY", 169.4), ("EUR", 21)]


def test_the_page(serve_program, page, page_errors):
    """The page shows one row for each currency, and text from users as text."""
    page_errors.allow(GONE)
    program = serve_program(PROGRAM)
    page.goto(program.url)
    for currency, rate in (("EUR", "1.07"), ("<b>", "2"), ("EUR", "1.08")):
        page.fill("[name=currency]", currency)
        page.fill("[name=rate]", rate)
        page.click("button")
        expect(page.locator("tr", has_text=rate)).to_have_count(1)
    page.reload()
    expect(page.locator("td")).to_have_text(["<b>", "2", "EUR", "1.08"])


def test_the_page_of_the_recipe():
    """The recipe's page shows the code of the program."""
    program = re.sub(r"\s+", " ", (ROOT / PROGRAM).read_text())
    for language in ("py", "js"):
        (block,) = code_blocks("latest-value", language)
        assert re.sub(r"\s+", " ", block).strip() in program
