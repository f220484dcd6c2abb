"""The limit: a bare `socket.send` loop over all subscribers, with just enough HTTP around it."""

import select
import socket
import sys

HEADERS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
ACCEPTED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def serve(port: int) -> None:
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
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
            connection = connections[fd]
            try:
                request = connection.recv(65536)  # a request is always one segment here
            except ConnectionError:
                request = b""
            if request.startswith(b"GET"):
                connection.send(HEADERS)
                subscribers[fd] = connection
            elif request:
                event = b"data: %b\n\n" % request.partition(b"\r\n\r\n")[2]
                chunk = b"%x\r\n%b\r\n" % (len(event), event)
                for subscriber in subscribers.values():
                    subscriber.send(chunk)
                connection.send(ACCEPTED)
            else:
                poll.unregister(fd)
                subscribers.pop(fd, None)
                connections.pop(fd).close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
