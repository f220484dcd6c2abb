"""A thread that publishes while the server stops."""

import asyncio
import contextlib

import pytest
from support.program import Program, free_port
from support.subscriber import CLIENTS

from tatsumaki_py.testing import Ended

PROGRAM = """
import asyncio
import threading
import time
from tatsumaki_py import Application, Error, MessageQueue, Server, SubscribeHandler

mq = MessageQueue.instance("room")
accepted = []

def publish():
    for number in range(10**9):
        try:
            accepted.extend(mq.publish(number).result(5))
            time.sleep(0.0005)
        except Error.HTTP as error:
            print(error.code, error.message, flush=True)
            return

thread = threading.Thread(target=publish)
app = Application([("/events/(room)", SubscribeHandler)])
app.on_start(thread.start)

@app.on_stop
async def join():
    await asyncio.to_thread(thread.join)
    print(len(accepted), accepted[-1], flush=True)

Server(drain_time=0).run(app)
"""


@pytest.mark.gen_test
async def test_stops(tmp_path):
    """The thread gets a 503, and a subscriber gets every event that was accepted before that."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    program = Program(path, free_port(), tmp_path)
    program.start()
    client = CLIENTS["ndjson"](program.port)
    try:
        await client.start()
        first = (await client.next()).data
        stopping = asyncio.get_running_loop().run_in_executor(None, program.stop)
        expected = first + 1
        with contextlib.suppress(Ended):
            while True:
                message = await client.next()
                assert message.data == expected
                expected += 1
        assert await stopping == 0
    finally:
        client.close()
        program.kill()
    _, refusal, last = program.stdout.splitlines()
    assert refusal.startswith("503 ")
    assert last == f"{expected} {client.cursor}"
