"""A publish reaches Redis, but the reply is lost."""

import asyncio

import pytest

from tatsumaki_py.testing import Connection


@pytest.mark.parametrize("key", [None, "key"], ids=["no key", "key"])
@pytest.mark.gen_test
async def test_between_redis_and_the_server(make_scene, redis_server, key):
    """The server repeats the call, and Redis recognizes it: the event exists once."""
    scene = await make_scene(redis_server)
    await scene.publish(0)
    await scene.all_get(0)
    scene.network.freeze(answers_only=True)
    answers = [asyncio.ensure_future(scene.publish(n, key=key and f"{n}")) for n in (1, 2)]
    ids = await asyncio.gather(*answers)
    await scene.publish_elsewhere(3)
    await scene.all_get(0, 1, 2, 3)
    assert scene.queue.cursor() > ids[1][0] > ids[0][0]


@pytest.mark.gen_test
async def test_between_the_server_and_its_client(make_scene, redis_server, http_port):
    """With an idempotency key, the client gets the lost answer again, even from another process.
    Without a key, the events exist twice.
    """
    scene = await make_scene(redis_server)
    head = "POST /publish/room HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    client = await Connection.connect(http_port)
    key = "Idempotency-Key: key\r\n"
    await client.send(f'{head}{key}Content-Length: 9\r\n\r\n[{{"n":1}}]'.encode())
    await scene.all_get(1)
    client.reset()
    answer = await scene.post(1, key="key")
    assert answer.status == 200
    (id,) = await scene.publish_elsewhere(1, key="key")
    assert id.encode() in answer.body
    assert (await scene.post(2)).body != (await scene.post(2)).body
    await scene.all_get(1, 2, 2)
