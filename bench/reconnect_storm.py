"""If 5000 clients reconnect at once, how long until each has the 100 events it missed?"""

import http.client
import json
import re
import socket
import time
from collections.abc import Sequence

from harness import storm
from harness.contenders import RESUMING, Contender
from harness.process import Server, Trouble, serving
from harness.report import Benchmark, Result

MISSED = 100
CURSOR = re.compile(rb"^(?:id|Last-Event-ID): ?(\S+)", re.MULTILINE)


def publish(server: Server, contender: Contender, numbers: range) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for number in numbers:
        event = {
            "type": "message",
            "html": f"This is event ~{number:08} of the benchmark",
            "ident": "bench",
            "name": "Somebody",
            "time": 1700000000.25,
        }
        headers = {"Content-Type": "application/json"}
        connection.request("POST", contender.publish, json.dumps(event), headers)
        connection.getresponse().read()
    connection.close()


def take_cursor(server: Server, contender: Contender) -> str:
    """Subscribe, publish an event, and leave with its id."""
    path = contender.stream.replace("{cursor}", "").replace("{id}", "first")
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *contender.headers, "", ""]
    with socket.create_connection(("127.0.0.1", server.port), 10) as subscriber:
        subscriber.sendall("\r\n".join(lines).encode())
        received = subscriber.recv(65536)
        publish(server, contender, range(1))
        while b"~00000000" not in received:
            received += (data := subscriber.recv(65536))
            if not data:
                raise Trouble("closed the connection of the first subscriber")
    body = received.partition(b"\r\n\r\n")[2]
    # A stream may begin with its starting cursor; the event's own id comes later.
    if not (cursors := CURSOR.findall(body)):
        raise Trouble(f"no event id in {body!r}")
    return cursors[-1].decode()


def compare(bench: Benchmark, contenders: Sequence[Contender]) -> dict[str, Result]:
    clients = 1000 if bench.quick else 5000

    def measure(contender: Contender) -> Result:
        with serving(contender) as server:
            cursor = take_cursor(server, contender)
            time.sleep(0.2)  # the server must notice that it has left
            publish(server, contender, range(1, MISSED + 1))
            header = [*contender.headers]
            if "{cursor}" not in contender.stream:
                header.append(f"Last-Event-ID: {cursor}")
            return storm.result_of(
                bench.generator.run(
                    server,
                    mode="connect",
                    expect=MISSED,
                    clients=clients,
                    path=contender.stream.replace("{cursor}", cursor),
                    header=header,
                ),
                clients,
            )

    title = f"{clients} clients, {MISSED} events each"
    results = bench.compare(title, contenders, measure)
    storm.table(bench, title, results)
    return results


if __name__ == "__main__":
    bench = Benchmark(__doc__, files=6000)
    compare(bench, RESUMING)
    bench.end()
