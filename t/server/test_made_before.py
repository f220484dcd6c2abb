"""Queues and settings that the module made work in each worker as they do in one process."""

import http.client
import json
import sys

import pytest
from support.program import ROOT, STOP, free_port

PROGRAM = ROOT / "t/server/made_before.py"


@pytest.fixture
def get(popen, redis_server, tmp_path):
    """`response = get(path)` sends a request to the program."""
    port = free_port()
    environment = {"REDIS": redis_server.url, "PORT": str(port)}
    process = popen(sys.executable, PROGRAM, environment=environment)
    line = f"Listening on http://127.0.0.1:{port}/ (Ctrl-C stops)\n"
    assert process.stdout.readline() == line, (tmp_path / "log").read_text()
    connections = []

    def get(path):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connections.append(connection)
        connection.request("GET", path)
        return connection.getresponse()

    yield get
    process.terminate()
    assert process.wait(STOP) == 0
    for connection in connections:
        connection.close()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_made_before(get):
    """Settings, classes, publishing, polling and hooks work in both workers."""
    found = {}
    while len(found) < 2:
        number, *found[number] = json.load(get("/"))
    for settings in found.values():
        assert settings[:3] == [5, "News", 20]
    assert {"1", "2"} == {event for *_, events in found.values() for event in events}
    stream = get("/events/news?transport=ndjson&client_id=ann")
    said = get("/events/said?transport=ndjson")
    assert next(data(said)) == "ann came"
    assert next(data(stream)) in found
    # This also closes its connection, which serves no other request.
    stream.close()
    assert next(data(said)) == "ann left"


def data(stream):
    """Yields the values of the events of a stream."""
    return (line["data"] for line in map(json.loads, stream) if "data" in line)
