"""Templates and UI modules in a handler whose client has waited."""

import gc
import weakref

import pytest
import tornado.web
from support.answers import until

from tatsumaki_py import Application, Handler, MessageQueue

handlers = []


class Shout(tornado.web.UIModule):
    def render(self, text):
        return f"{text.upper()}! {self.handler.request.path} {self.ui.modules is not None}"


class Poll(Handler):
    asynchronous = True

    def get(self, own):
        if own:
            self.ui["own"] = own
        MessageQueue.instance("room").poll_once("me", self.on_new_event)
        handlers.append(weakref.ref(self))

    def on_new_event(self, *events):
        self.render("module.html", text=events[0]["text"], own=None)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "module.html").write_text(
        "{% module Shout(text) %} {{ modules.Shout('b') }} {{ handler.ui.get('own') }} "
        "{{ hello() if 'hello' in handler.ui else '' }}"
    )
    return tmp_path


def application(files, **settings):
    handlers.clear()
    return Application(
        [("/poll/(.*)", Poll)], template_path=files, ui_modules={"Shout": Shout}, **settings
    )


@pytest.fixture
def app(files):
    return application(files)


async def answer(ask, path):
    """Returns the body of a long poll that has waited."""
    client = await ask(f"GET {path}", "Connection: close")
    await until(lambda: MessageQueue.instance("room").clients)
    MessageQueue.instance("room").publish({"text": "hey"})
    return (await client.read_all()).partition(b"\r\n\r\n")[2]


@pytest.mark.gen_test
async def test_after_waiting(ask):
    """After the wait, a template finds the UI modules under both of their names."""
    assert await answer(ask, "/poll/") == b"HEY! /poll/ True B! /poll/ True None "


@pytest.mark.gen_test
async def test_what_the_program_has_put_there(ask):
    """An object that the program put into `ui` stays."""
    assert await answer(ask, "/poll/mine") == b"HEY! /poll/mine True B! /poll/mine True mine "


@pytest.mark.gen_test
async def test_while_it_waits(ask):
    """A handler is in no reference cycle while its client waits, and is freed with its request."""
    gc.disable()
    try:
        client = await ask("GET /poll/")
        await until(lambda: handlers)
        client.close()
        await until(lambda: handlers[0]() is None)
    finally:
        gc.enable()


class TestMethods:
    """UI methods."""

    @pytest.fixture
    def app(self, files):
        return application(files, ui_methods={"hello": lambda handler: handler.request.method})

    @pytest.mark.gen_test
    async def test_after_waiting(self, ask):
        assert (await answer(ask, "/poll/")).endswith(b" GET")
