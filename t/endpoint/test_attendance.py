"""A client's hooks are called in order and one at a time, and immediately where possible."""

import asyncio
from contextvars import ContextVar

import pytest
from support.wire import iterations

from tatsumaki_py.endpoint import attendance
from tatsumaki_py.endpoint.attendance import MAX_WAITING, Attendance

calls = []
errors = []


@pytest.fixture(autouse=True)
def forget():
    calls.clear()
    errors.clear()
    yield
    assert not attendance._lines


def attend(client="ann", channels=("room",), came=None, left=None):
    """Return a client's attendance, whose hooks note "+" and "-" unless others are given."""
    return Attendance(
        channels,
        client,
        came or (lambda channel: calls.append(f"+{channel}")),
        left or (lambda channel: calls.append(f"-{channel}")),
        errors.append,
    )


def test_without_a_loop():
    """Hooks that are not coroutines are called before `begin` and `end` return."""
    here = attend(channels=("a", "b"))
    here.begin(True)
    assert calls == ["+a", "+b"]
    here.begin(False)
    here.end()
    assert calls == ["+a", "+b", "-a", "-b"]


def test_gone_before_it_came():
    """If a client left before its arrival is reported, both hooks are called, in order."""
    here = attend()
    here.end()
    assert calls == []
    here.begin(True)
    assert calls == ["+room", "-room"]


def test_a_hook_that_makes_its_client_leave():
    """If `came` makes its client leave, `left` is called after `came` has returned."""

    def came(channel):
        here.end()
        calls.append("came")

    here = attend(came=came)
    here.begin(True)
    here.end()
    assert calls == ["came", "-room", "-room"]


@pytest.mark.gen_test
async def test_one_at_a_time():
    """The hooks of a named client run one at a time in each channel; anonymous clients do
    not wait.
    """
    go_on = asyncio.Event()

    async def came(channel):
        await go_on.wait()
        calls.append(f"came {channel}")

    attend(came=came).begin(True)
    attend(channels=("other", "room")).begin(True)
    for _ in range(2):
        attend(client=None).begin(True)
    await iterations()
    assert calls == ["+other", "+room", "+room"]
    go_on.set()
    await iterations()
    assert calls[3:] == ["came room", "+room"]


@pytest.mark.gen_test
async def test_mistakes():
    """An exception that a hook raises is reported, and the next hook is called."""

    def now(channel):
        raise ValueError("now")

    async def later(channel):
        raise ValueError("later")

    attend(came=later).begin(True)
    attend(came=now).begin(True)
    attend().begin(True)
    await iterations()
    assert [str(error) for error in errors] == ["later", "now"]
    assert calls == ["+room"]


@pytest.mark.gen_test
async def test_context():
    """A hook runs in the context of its own request."""
    request = ContextVar("request")

    async def came(channel):
        await asyncio.sleep(0)
        calls.append(request.get())

    for number in range(3):
        request.set(number)
        attend(came=came).begin(True)
    await iterations()
    assert calls == [0, 1, 2]


@pytest.mark.gen_test
async def test_a_hook_that_takes_for_ever():
    """The number of calls that wait for a hook is bounded: arrivals and departures cancel out."""
    go_on = asyncio.Event()

    async def came(channel):
        await go_on.wait()

    attend(came=came).begin(True)
    for _ in range(1000):
        here = attend()
        here.begin(False)
        here.end()
        attend().begin(True)
    (line,) = attendance._lines.values()
    assert len(line._waiting) == MAX_WAITING
    go_on.set()
    await iterations()
    assert calls == ["-room", "+room"] * (MAX_WAITING // 2)


def test_a_loop_that_ended():
    """A hook that was not finished when its loop ended does not block later hooks."""

    async def came(channel):
        await asyncio.Event().wait()

    async def begin():
        attend(came=came).begin(True)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    (task,) = asyncio.all_tasks(loop)
    task._log_destroy_pending = False
    loop.close()
    attend().begin(True)
    assert calls == ["+room"]
