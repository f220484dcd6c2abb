"""A setting of a queue belongs to the name of its channel."""

import gc
import json
import re

import pytest
from message_queue.fakes import Taker, events
from support.program import ROOT

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue.settings import ChannelSettings


class Mine(MessageQueue):
    backlog_length = 2
    topic = "none"


class Other(MessageQueue):
    pass


@pytest.fixture(autouse=True)
def collected():
    """Collect garbage, so that no queue of another test is held by a cycle."""
    gc.collect()


def test_it_outlives_the_object():
    """A setting stays even if the queue object is freed."""
    MessageQueue.instance("news").backlog_length = 100
    MessageQueue.instance("news").time_to_live = 5.5
    gc.collect()
    assert MessageQueue.instance("news").backlog_length == 100
    assert MessageQueue.instance("news").time_to_live == 5.5
    assert MessageQueue.instance("other").backlog_length == 30


def test_the_default_again():
    """Deleting a setting restores the default."""
    MessageQueue.instance("news").backlog_length = 100
    del MessageQueue.instance("news").backlog_length
    gc.collect()
    assert MessageQueue.instance("news").backlog_length == 30


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        (
            "backlog_lenght",
            5,
            AttributeError,
            "no setting 'backlog_lenght': did you mean backlog_length\\?",
        ),
        ("publish", 5, AttributeError, "no setting 'publish'"),
        ("channel", "other", AttributeError, "no setting 'channel'"),
        ("subscribers", 5, AttributeError, "no setting 'subscribers'"),
        (
            "max_channels",
            5,
            AttributeError,
            "applies to all channels: set MessageQueue.max_channels",
        ),
        ("backlog_length", "5", TypeError, "backlog_length must be a number, not '5'"),
        ("backlog_length", None, TypeError, "backlog_length must be a number, not None"),
        ("reconnect_time", True, TypeError, "must be a number, not True"),
        ("reconnect_time", -1, ValueError, "must be 0 or more, not -1"),
        ("buffer_size", float("nan"), ValueError, "must be 0 or more, not nan"),
        ("json", None, TypeError, "json must be an object with a method encode"),
        ("json", json.JSONEncoder, TypeError, "json must be an object with a method encode"),
    ],
)
def test_no_setting(name, value, error, message):
    """A wrong setting raises an error immediately and changes nothing."""
    queue = MessageQueue.instance("news")
    with pytest.raises(error, match=message):
        setattr(queue, name, value)
    assert MessageQueue.instance("news").backlog_length == 30


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("backlog_lenght", 5, AttributeError, "MessageQueue has no setting 'backlog_lenght'"),
        ("backlog_length", "5", TypeError, "backlog_length must be a number, not '5'"),
        ("time_to_live", "5", TypeError, "time_to_live must be a number, not '5'"),
        ("max_size", -1, ValueError, "must be 0 or more, not -1"),
    ],
)
def test_no_setting_of_the_class(name, value, error, message):
    """A wrong setting on the class raises an error."""
    with pytest.raises(error, match=message):
        setattr(MessageQueue, name, value)


def test_attributes_of_a_subclass():
    """A subclass can define its own attributes with any values, and queues can change them."""

    class Mine(MessageQueue):
        where, loud = None, False

    Mine.where = "here"
    queue = Mine.instance("mine")
    queue.loud, queue.where = True, "there"
    assert (Mine.where, queue.where, queue.loud) == ("here", "there", True)


def test_bounded(monkeypatch, expect_log):
    """Beyond `max_channels`, settings of the least recently used name are dropped and logged."""
    monkeypatch.setattr(MessageQueue, "max_channels", 2)
    for name in ("a", "b"):
        MessageQueue.instance(name).backlog_length = 5
    MessageQueue.instance("a")
    with expect_log("tatsumaki", "the settings of channel 'b' were dropped: more than 2"):
        MessageQueue.instance("c").backlog_length = 5
    gc.collect()
    assert [MessageQueue.instance(name).backlog_length for name in "abc"] == [5, 30, 5]


def test_a_number_that_is_not_whole():
    """A float can be set, even as the length of a backlog."""
    queue = MessageQueue.instance("news")
    queue.publish(*events(1, 2, 3, 4))
    for length, held in ((2.0, [3, 4]), (2.5, [2, 3, 4]), (float("inf"), [1, 2, 3, 4])):
        queue.backlog_length = length
        assert [event["n"] for event in queue.backlog_events] == held


def test_not_on_a_merged_queue():
    """A setting cannot be set on a queue of several channels."""
    queue = MessageQueue.instance("a", "b")
    with pytest.raises(AttributeError, match="set backlog_length on each channel"):
        queue.backlog_length = 5


def test_invented_channels_of_a_class(monkeypatch):
    """The remembered classes of channels are bounded, and do not replace settings."""
    monkeypatch.setattr(MessageQueue, "max_channels", 3)
    MessageQueue.instance("news").backlog_length = 5
    for number in range(100):
        Mine.instance(f"invented{number}")
    gc.collect()
    assert MessageQueue.instance("news").backlog_length == 5
    assert type(MessageQueue.instance("invented0")) is MessageQueue
    assert type(MessageQueue.instance("invented99")) is Mine


def test_several_channels_of_a_class():
    """`instance` of a class with several names makes each channel a queue of that class."""
    merged = Mine.instance("a", "b")
    assert type(MessageQueue.instance("a")) is type(MessageQueue.instance("b")) is Mine
    assert Mine.instance("b", "a") is MessageQueue.instance("a", "b") is merged
    with pytest.raises(TypeError, match="the queue of channel 'a' is a Mine"):
        Other.instance("a", "b")


def test_a_class_of_its_own():
    """A channel keeps the class of its queue, even if the queue object is freed."""
    assert type(Mine.instance("news")) is Mine
    gc.collect()
    queue = MessageQueue.instance("news")
    assert (type(queue), queue.backlog_length) == (Mine, 2)
    queue.topic = "sports"
    del queue
    gc.collect()
    assert MessageQueue.instance("news").topic == "sports"


@pytest.mark.gen_test
async def test_another_class():
    """Calling `instance` of a different class for a channel in use raises a TypeError."""
    queue = MessageQueue.instance("news")
    with pytest.raises(TypeError, match=re.escape("call Mine.instance('news') before")):
        Mine.instance("news")
    del queue
    mine = Mine.instance("news")
    with pytest.raises(TypeError, match="the queue of channel 'news' is a Mine"):
        Other.instance("news")
    del mine
    gc.collect()
    with pytest.raises(TypeError, match="the queue of channel 'news' is a Mine"):
        Other.instance("news")
    assert [*await Mine.instance("news").publish(*events(1, 2, 3))][-1]
    assert len(MessageQueue.instance("news").backlog_events) == 2


def test_no_queue_of_nobody():
    """Calling the class raises a TypeError, as it would make a second queue of that name."""
    for kind in (MessageQueue, Mine):
        with pytest.raises(TypeError, match=re.escape(f"use {kind.__name__}.instance('x')")):
            kind("x")


def test_all_settings_are_documented():
    """The page of settings lists every setting."""
    text = (ROOT / "docs/settings.md").read_text()
    names = [
        name
        for kind in MessageQueue.__mro__
        for name, value in vars(kind).items()
        if not name.startswith("_") and (value is None or isinstance(value, (int, float)))
    ]
    assert len(names) >= 13
    assert [name for name in names if f"| `{name}` |" not in text] == []


class Sized(MessageQueue):
    @property
    def backlog_length(self):
        return self.buffer_length if self.channel.startswith("long-") else 2


@pytest.mark.parametrize(("name", "length"), [("short", 2), ("long-one", 10)])
@pytest.mark.gen_test
async def test_a_property(name, length):
    """A setting can be a property that depends on the channel and other settings."""
    queue = Sized.instance(name)
    queue.buffer_length = 10
    queue.recovery_time = 0
    await queue.publish(*events(*range(20)))
    assert len(queue.backlog_events) == length


@pytest.mark.gen_test
async def test_without_end():
    """Each setting of a channel that is a number can be infinite."""
    queue = MessageQueue.instance("news")
    defaults = vars(ChannelSettings).items()
    numbers = {name for name, value in defaults if isinstance(value, (int, float))}
    for name in {*numbers, "time_to_live"} - {"max_channels", "max_clients", "max_size"}:
        setattr(queue, name, float("inf"))
    queue.poll("away", Taker()).cancel()
    await queue.publish(*events(1, 2), idempotency_key="key")
    assert len(await queue.poll_once("new")) == len(await queue.poll_once("away")) == 2
    assert await queue.poll_once(None, last_event_id=queue.cursor(), timeout=0) == []
