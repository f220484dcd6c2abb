"""No attribute is added to a handler after its construction, because CPython would then give each
handler a separate dict of keys.
"""

import pytest
from support.answers import until

from tatsumaki_py import Application, Handler, MessageQueue

over = []


class Named(Handler):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.names = None
        self.names = set(vars(self))

    def on_finish(self):
        over.append((set(vars(self)), self.names))


class Plain(Named):
    def get(self, name):
        self.write(name)


class Poll(Named):
    asynchronous = True

    def get(self, name):
        MessageQueue.instance(name).poll_once("me", self.on_new_event)

    def on_new_event(self, *events):
        self.write(events)
        self.finish()


class Stream(Named):
    asynchronous = True

    def get(self, name):
        self.multipart_xhr_push(True)
        MessageQueue.instance(name).poll("me", self.on_new_event)

    def on_new_event(self, *events):
        for event in events:
            self.stream_write(event)
        self.finish()


@pytest.fixture
def app():
    over.clear()
    return Application([(f"/{kind.__name__}/(.*)", kind) for kind in (Plain, Poll, Stream)])


@pytest.mark.parametrize("kind", [Plain, Poll, Stream])
@pytest.mark.gen_test
async def test_no_name_comes_later(ask, kind):
    """A plain answer, a long poll that waited and a stream add no attribute."""
    await ask(f"GET /{kind.__name__}/room")
    if kind is not Plain:
        mq = MessageQueue.instance("room")
        await until(lambda: mq.clients)
        mq.publish({"a": 1})
    await until(lambda: over)
    later, first = over[0]
    # `ui` is recreated when a template needs it.
    assert first - {"ui"} <= later <= first
