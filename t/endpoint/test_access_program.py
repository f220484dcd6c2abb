"""A process that uses tickets, `disconnect` and limits for each address."""

import asyncio
import json
import urllib.error
import urllib.request

import pytest
from support.subscriber import CLIENTS
from support.wire import read_reply, soon

from tatsumaki_py.testing import Ended


@pytest.fixture
def program(serve_program):
    return serve_program("t/endpoint/access_program.py")


@pytest.fixture
def subscribe(program):
    """`client = await subscribe("sse", address, ticket)` sends the request."""
    made = []

    async def subscribe(transport, address, ticket, channel="room"):
        headers = {"X-Real-IP": address}
        path = f"/events/{channel}"
        client = CLIENTS[transport](
            program.port, path, headers=headers, ticket=ticket, client_id=f"s3cret-{len(made)}"
        )
        made.append(client)
        await client.request()
        return client

    yield subscribe
    for client in made:
        client.close()


def ask(program, path, address="10.0.0.9", body=None):
    """Return the status and the body of the answer to a request."""
    request = urllib.request.Request(program.url + path, body, {"X-Real-IP": address})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode()


@pytest.mark.gen_test
async def test_the_life_of_a_process(program, subscribe):
    """A user subscribes with a ticket, is disconnected, and is refused when it reconnects. The
    process stops normally during a check, and its log contains no secret.
    """
    tickets = {user: ask(program, f"tickets?user={user}")[1] for user in ("ann", "bob")}
    ann = await subscribe("sse", "10.0.0.1", tickets["ann"])
    poll = await subscribe("long-poll", "10.0.0.1", tickets["ann"])
    # The server may accept requests that arrive together in a different order.
    await soon(lambda: ask(program, "there") == (200, "2"))
    beyond = await subscribe("sse", "10.0.0.1", tickets["bob"])
    assert (await read_reply(beyond.connection)).status == 429
    bob = await subscribe("websocket", "10.0.0.2", tickets["bob"])
    await bob.answer()
    slow = await subscribe("sse", "10.0.0.3", tickets["bob"], "slow")
    await slow.connection.read_until(b"\r\n\r\n")
    await ann.answer()
    assert json.loads(ask(program, "ban/ann", body=b"")[1]) == {"ended": 2}
    assert (await read_reply(poll.connection)).status == 403
    with pytest.raises(Ended):
        await ann.next()
    again = await subscribe("sse", "10.0.0.1", tickets["ann"])
    reply = await read_reply(again.connection)
    assert (reply.status, reply.body) == (403, b"the ticket was revoked")
    codes = [ask(program, "publish/room", body=b"n=1")[0] for _ in range(2)]
    assert codes == [200, 429]
    assert (await bob.take(1)) == [{"n": "1"}]
    # Wait until the channel "slow" is being checked again.
    await asyncio.sleep(0.7)
    assert program.stop() == 0
    assert "s3cret" not in program.stderr
    for ticket in tickets.values():
        assert ticket not in program.stderr
    assert "ticket=...&client_id=..." in program.stderr
    assert "was destroyed" not in program.stderr
    assert "never retrieved" not in program.stderr
