"""The upper limit: a bare `socket.send` loop over all subscribers, with a minimum of HTTP.

A POST is one event. A datagram to the same port asks the process itself to publish a burst
(loadgen.c, inside=1). The events of a burst are joined into one `send` for each subscriber.
"""

import json
import select
import socket
import sys

HEADERS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
ACCEPTED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def chunk(body: bytes) -> bytes:
    event = b"data: %b\n\n" % body
    return b"%x\r\n%b\r\n" % (len(event), event)


def burst(datagram: bytes) -> bytes:
    order = json.loads(datagram)
    body = json.dumps(order["event"])
    numbers = range(order["first"], order["first"] + order["count"])
    return b"".join(chunk(body.replace("~00000000", f"~{n:08}").encode()) for n in numbers)


def serve(port: int) -> None:
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", port))
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    poll.register(datagrams, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    subscribers: dict[int, socket.socket] = {}
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                connection, _ = listener.accept()
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections[connection.fileno()] = connection
                poll.register(connection, select.EPOLLIN)
                continue
            if fd == datagrams.fileno():
                data = burst(datagrams.recv(65536))
                for subscriber in subscribers.values():
                    subscriber.send(data)
                continue
            connection = connections[fd]
            try:
                request = connection.recv(65536)  # here, a request is always one segment
            except ConnectionError:
                request = b""
            if request.startswith(b"GET"):
                connection.send(HEADERS)
                subscribers[fd] = connection
            elif request:
                data = chunk(request.partition(b"\r\n\r\n")[2])
                for subscriber in subscribers.values():
                    subscriber.send(data)
                connection.send(ACCEPTED)
            else:
                poll.unregister(fd)
                subscribers.pop(fd, None)
                connections.pop(fd).close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
