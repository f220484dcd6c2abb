"""With Redis, a service that polls with a name in several processes is one client.

A service that polls without a name is one client in each process.
"""

import json
import os
import signal
import sys
import time
import urllib.request

from support.program import STOP, free_port

PROGRAM = """
import json, os
from tatsumaki_py import Application, MessageQueue, PublishHandler, Server, Service

class Both(Service):
    def start(self):
        mq = MessageQueue.instance("work")
        self.polls = [mq.poll("worker", self.named), mq.poll(None, self.unnamed)]

    def named(self, *events):
        say("named", events)

    def unnamed(self, *events):
        say("unnamed", events)

    def stop(self):
        for poll in self.polls:
            poll.cancel()

def say(what, events):
    # One write per line, so that lines of several processes do not mix.
    for event in events:
        os.write(1, json.dumps([what, event, os.getpid()]).encode() + b"\\n")

app = Application([(r"/publish/(\\w+)", PublishHandler)])
app.add_service(Both())
Server(processes=3).run(app)
"""


def test_a_name_is_one_client(popen, tmp_path, redis_server):
    """Each event reaches one worker's poll with a name, and every worker's poll without one. When
    the worker that has the name is killed, a new worker takes over the name.
    """
    (tmp_path / "program.py").write_text(PROGRAM)
    port, log = free_port(), tmp_path / "log"
    variables = {"TATSUMAKI_ENGINE": redis_server.url, "PORT": str(port)}
    process = popen(sys.executable, tmp_path / "program.py", environment=variables)
    assert process.stdout.readline().startswith("Listening"), log.read_text()

    def publish(number):
        """Publish an event; return the workers that get it with a name, and those without."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/publish/work",
            str(number).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=5).close()
        found = {"named": set(), "unnamed": set()}
        while len(found["named"]) < 1 or len(found["unnamed"]) < 3:
            what, event, pid = json.loads(process.stdout.readline())
            # A worker that was started again also gets the backlog.
            if event == number:
                found[what].add(pid)
        return found["named"], found["unnamed"]

    number = 1
    (holder,), workers = publish(number)
    assert holder in workers
    os.kill(holder, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while log.read_text().count(" is listening\n") < 4:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    next_holder, now = holder, workers
    # The new worker has the name once Redis knows about it, perhaps a few events later.
    while next_holder not in now - workers:
        assert time.monotonic() < deadline
        number += 1
        (next_holder,), now = publish(number)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=STOP)
    assert process.returncode == 0
    assert "Traceback" not in log.read_text()
